"""What ``pip install`` of each side adds to a new environment, and how long whole processes take."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from environments import ANOMALIB, python_with
from startup import alternating

__all__ = ["footprint_rows"]

ROOT = Path(__file__).parent.parent.parent
_PINNED = ("-c", str(ROOT / "constraints.txt"))
ENVIRONMENTS = {
    "understudy": (str(ROOT), *_PINNED),
    "understudy[train]": (f"{ROOT}[train]", *_PINNED),
    "anomalib": (ANOMALIB.format(""),),
}
_FOR_GPUS = ("nvidia", "cuda", "cudnn", "nccl", "triton")
_TRUST = "import os; os.environ['TRUST_REMOTE_CODE'] = '1'; "


def footprint_rows(places: Path, models: Mapping[str, Path], rounds: int) -> Iterator[dict[str, Any]]:
    """Measure sizes first, then the times of processes in turn.

    Args:
        places: folder of the environments; missing ones are made.
        models: a prepared model of each side.
        rounds: a third of the runs of each process.
    """
    pythons = {name: python_with(places / name, *what) for name, what in ENVIRONMENTS.items()}
    command = str(Path(__file__).parent / "installed.py")
    versions = {
        name: subprocess.run(
            [str(python), command], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        for name, python in pythons.items()
    }
    for name in ENVIRONMENTS:
        for figure, mib in installed(places / name).items():
            yield _row(name, figure, "MiB", [mib]) | {"versions": versions[name]}
    programs = dict(_programs(models))
    commands = {
        f"{name}: {what}": [str(pythons[name]), "-c", code] for (name, what), code in programs.items()
    }
    taken = alternating(commands, 3 * rounds)
    for name, what in programs:
        yield _row(name, what, "s", taken[f"{name}: {what}"]) | {"versions": versions[name]}


def installed(environment: Path) -> dict[str, float]:
    """MiB of all that was installed except pip itself, and of the files that are for GPUs by their name."""
    (packages,) = environment.glob("lib/python*/site-packages")
    files = [p.relative_to(packages) for p in packages.rglob("*") if p.is_file() and not p.is_symlink()]
    files = [p for p in files if not p.parts[0].startswith(("pip", "setuptools"))]
    gpu = [p for p in files if any(word in str(p).lower() for word in _FOR_GPUS)]
    return {
        figure: sum((packages / p).stat().st_size for p in chosen) / 2**20
        for figure, chosen in {"installed": files, "of which for GPUs": gpu}.items()
    }


def _programs(models: Mapping[str, Path]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield (environment, name) and the code of every process to time."""
    for name in ENVIRONMENTS:
        yield (name, "Python alone"), "pass"
        yield (name, "import"), f"import {name.partition('[')[0]}"
    ours, theirs = models["understudy"] / "torch", models["anomalib"] / "weights" / "torch" / "model.pt"
    yield ("understudy[train]", "import what trains"), "import understudy; understudy.fit"
    yield (
        ("anomalib", "import what trains"),
        "from anomalib.engine import Engine; from anomalib.models import Stfpm",
    )
    yield ("understudy[train]", "load a model"), f"import understudy; understudy.load({str(ours)!r})"
    load = f"from anomalib.deploy import TorchInferencer; TorchInferencer({str(theirs)!r})"
    yield ("anomalib", "load a model"), _TRUST + load
    exported = models["understudy"] / "onnx"
    load = f"from understudy.runtime.inspector import Inspector; Inspector.load({str(exported)!r})"
    yield ("understudy", "load a model"), load


def _row(contender: str, figure: str, unit: str, values: list[float]) -> dict[str, Any]:
    found = {"median": median(values), "least": min(values), "most": max(values)}
    row = {"contender": contender, "figure": figure, "unit": unit, "count": len(values)}
    return row | {name: round(value, 3) for name, value in found.items()}
