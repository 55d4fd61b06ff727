"""What all cases share: pictures, a small model, the same exported, another model, an unfinished training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TINY: Mapping[str, Any] = {
    "image_size": 64,
    "max_steps": 6,
    "batch_size": 4,
    "precision": "32",
    "device": "cpu",
    "strides": (8, 16),
    "holdout": 0.34,
    "false_alarm_rate": 0.15,
}
TINY_OPTIONS = ("--image-size", "64", "--max-steps", "6", "--batch-size", "4", "--precision", "32")
TINY_OPTIONS += ("--device", "cpu", "--strides", "8,16", "--holdout", "0.34", "--false-alarm-rate", "0.15")
STEP = 2  # an unfinished training stopped after its first checkpoint, of this step


class Answer(NamedTuple):
    """What a model says of the probe: equal for equal models."""

    score: float
    verdict: str | None
    reason: str | None
    anomaly_map: bytes
    calibration: Any


class Kit:
    """The folders that every case starts from; nothing in them is ever changed.

    Args:
        root: folder that :func:`make_kit` filled.
        launcher: starts commands in processes of their own.
    """

    def __init__(self, root: Path, launcher: Any = None) -> None:
        self.root, self.launcher = root, launcher
        self.data, self.models = root / "data", {n: root / n for n in ("model", "exported")}
        self.other, self.unfinished = root / "other", root / "unfinished"
        self.probe = sorted((self.data / "capsule" / "test").rglob("*.png"))[0]

    @cached_property
    def inspector(self) -> Any:
        """The exported model, open."""
        from understudy import Inspector

        return Inspector.load(self.models["exported"])

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """What each undamaged model says."""
        return {name: ask(folder, self.probe) for name, folder in self.models.items()}

    @cached_property
    def student(self) -> bytes:
        """The weights that an undisturbed training ends with."""
        return (self.models["model"] / "student.safetensors").read_bytes()


def ask(folder: Path, probe: Path) -> Answer:
    """Open a model, trained or exported, and judge the probe."""
    from understudy.cli.opening import open_inspector

    inspector = open_inspector(folder, "cpu")
    (result,) = inspector.predict(probe)
    calibration = inspector.calibration
    return Answer(
        result.score,
        result.verdict,
        result.reason,
        np.asarray(result.anomaly_map).tobytes(),
        calibration and calibration.model_dump(),
    )


def make_kit(root: Path) -> None:
    """Train, export and stop what the cases share; takes some seconds."""
    from understudy import Model, fit
    from understudy.lab.factory.write import FactoryPlan, write_factory

    write_factory(root / "data", FactoryPlan(train=6, good=2, each_defect=1, size=64))
    fit(root / "data", out=root / "model", progress=False, **TINY)
    fit(root / "data", out=root / "other", progress=False, **{**TINY, "seed": 1})
    Model.load(root / "model", "cpu").export(root / "exported", data=root / "data", progress=False)
    _stop(root / "data", root / "unfinished")


class _StoppedError(Exception):
    """Stops a training."""


def _stop(data: Path, out: Path) -> None:
    """Leave a training that was interrupted after its first checkpoint."""
    from understudy import fit
    from understudy.progress import Reporter

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        if what == "train" and list(out.rglob("*.ckpt")):
            raise _StoppedError

    try:
        fit(data, out=out, progress=Reporter(advance=interrupt), checkpoint_every=STEP, **TINY)
    except _StoppedError:
        return
    raise AssertionError("the training was to be interrupted")


def linked_copy(folder: Path, to: Path) -> Path:
    """Copy a folder as hard links; a file must be replaced, never written in place."""
    to.mkdir(parents=True)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            (to / path.relative_to(folder)).mkdir()
        else:
            os.link(path, to / path.relative_to(folder))
    return to


def replace_bytes(path: Path, data: bytes) -> None:
    """Put other bytes in place of a linked file, without touching its original."""
    path.unlink()
    path.write_bytes(data)
