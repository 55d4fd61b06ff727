"""Execution providers of ONNX Runtime: by which of them an exported model can run, and how one is opened."""

from __future__ import annotations

import importlib.metadata
import platform
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from understudy.errors import InputError
from understudy.types import ProviderChoice

__all__ = [
    "PROVIDERS",
    "Provider",
    "installed_providers",
    "onnxruntime_version",
    "open_session",
    "require_provider",
    "serialised",
]


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    Attributes:
        title: its name in words.
        names: what ONNX Runtime calls it, and those that take over what it cannot compute, in order.
        package: package of ONNX Runtime that has it.
        options: its options that keep float32 exact, by option.
        one_at_a_time: whether only one thread may run a session at once.
        systems: systems that it exists on, as :func:`platform.system` names them.
    """

    title: str
    names: tuple[str, ...]
    package: str
    options: dict[str, Any] = field(default_factory=dict)
    one_at_a_time: bool = False
    systems: tuple[str, ...] = ("Linux", "Windows")


_CPU = "CPUExecutionProvider"
PROVIDERS: dict[ProviderChoice, Provider] = {
    "cpu": Provider("the processor", (_CPU,), "onnxruntime", systems=("Linux", "Windows", "Darwin")),
    "cuda": Provider(
        "CUDA", ("CUDAExecutionProvider", _CPU), "onnxruntime-gpu", {"use_tf32": "0"}
    ),  # TF32 rounds to 10 bits
    "tensorrt": Provider(
        "TensorRT", ("TensorrtExecutionProvider", "CUDAExecutionProvider", _CPU), "onnxruntime-gpu"
    ),
    "openvino": Provider(
        "OpenVINO", ("OpenVINOExecutionProvider", _CPU), "onnxruntime-openvino", {"precision": "ACCURACY"}
    ),
    "coreml": Provider("Core ML", ("CoreMLExecutionProvider", _CPU), "onnxruntime", systems=("Darwin",)),
    "directml": Provider(
        "DirectML",
        ("DmlExecutionProvider", _CPU),
        "onnxruntime-directml",
        one_at_a_time=True,
        systems=("Windows",),
    ),
}
"""Value of ``--provider`` -> what it is."""

_ERRORS = 3  # onnxruntime's log severity "error"; 0 is verbose


def installed_providers() -> list[ProviderChoice]:
    """List the providers that the installed ONNX Runtime has, ``cpu`` first."""
    import onnxruntime

    available = set(onnxruntime.get_available_providers())
    return [name for name, provider in PROVIDERS.items() if provider.names[0] in available]


def onnxruntime_version() -> str:
    """Return the version of ONNX Runtime, whichever of its packages is installed."""
    for package in dict.fromkeys(provider.package for provider in PROVIDERS.values()):
        with suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(package)
    import onnxruntime

    return str(onnxruntime.__version__)


def require_provider(choice: ProviderChoice) -> Provider:
    """Return a provider that the installed ONNX Runtime has.

    Raises:
        InputError: there is no provider of that name, or the installed ONNX Runtime does not have it.
    """
    if choice not in PROVIDERS:
        raise InputError(f"no provider {choice!r}; there are {', '.join(PROVIDERS)}")
    provider, have = PROVIDERS[choice], installed_providers()
    if choice in have:
        return provider
    system = platform.system()
    way_out = f"pip uninstall onnxruntime, then pip install {provider.package}"
    if system not in provider.systems:
        way_out = (
            f"{provider.title} exists on {' and '.join(provider.systems).replace('Darwin', 'macOS')} alone"
        )
    raise InputError(
        f"--provider {choice} needs an ONNX Runtime with {provider.title}, and this one has "
        f"{', '.join(have)}; {way_out}"
    )


def open_session(path: Path, threads: int, choice: ProviderChoice = "cpu") -> Any:
    """Open a graph with ONNX Runtime.

    Args:
        path: file of the graph.
        threads: number of threads that compute on the processor.
        choice: provider that runs it.

    Returns:
        An ``onnxruntime.InferenceSession``. It uses the provider that was asked for.

    Raises:
        InputError: the provider is not there, or ONNX Runtime has it and could not start it.
    """
    import onnxruntime

    provider = require_provider(choice)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    # A fixed number also keeps onnxruntime from pinning threads to cores that a container does not have.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS
    options.enable_mem_pattern = choice != "directml"  # DirectML does not take it
    first, *others = provider.names
    wanted = [(first, provider.options), *_present(others)]
    session = onnxruntime.InferenceSession(path, options, providers=wanted)
    used = session.get_providers()
    if first not in used:  # ONNX Runtime itself goes on with the next one
        raise InputError(
            f"ONNX Runtime has {provider.title} and could not start it here, so {path} would run by "
            f"{', '.join(used)}; look for a missing driver or library, or leave out --provider {choice}"
        )
    session.disable_fallback()  # else a failure while it runs begins again on the processor, and says nothing
    return session


def _present(names: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return those providers that the installed ONNX Runtime has, as a session takes them."""
    import onnxruntime

    available = set(onnxruntime.get_available_providers())
    options = {provider.names[0]: provider.options for provider in PROVIDERS.values()}
    return [(name, options[name]) for name in names if name in available]


def serialised(choice: ProviderChoice) -> AbstractContextManager[object]:
    """Return a context manager to run a session in: a lock, where a provider takes one thread at a time."""
    return threading.Lock() if PROVIDERS[choice].one_at_a_time else nullcontext()
