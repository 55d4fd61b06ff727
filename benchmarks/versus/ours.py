"""Understudy's side: the work through its public functions, with each default left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import understudy
from understudy.distill.network import resolve_device, resolve_precision
from understudy.distill.teacher import EMBEDDED_TEACHER
from understudy.methods import METHODS
from understudy.runtime.inspector import Inspector
from versus.measure import Scorer, Training

__all__ = ["learned", "maps_of", "prepare", "scorer", "training"]

TEACHERS = {"stpm": "resnet18", "rd": "wide_resnet50_2"}
_ALL_LEARNED: dict[str, Any] = {"holdout": 0, "validation": 0}  # anomalib holds nothing back


def training(
    data: Path, scratch: Path, method: str, batch: int | None, precision: str | None, cache_features: str
) -> Training:
    """A training of a category's good pictures, on a teacher of random weights."""
    precision = precision or "auto"
    options: dict[str, Any] = _random_teacher(method) | _ALL_LEARNED
    options |= {"batch_size": batch, "precision": precision, "cache_features": cache_features}
    return Training(
        lambda: understudy.fit(data, scratch / "model", **options),
        batch or METHODS[method].recipes["paper"].batch_size,
        resolve_precision(precision, resolve_device("auto")),  # type: ignore[arg-type]
    )


def prepare(data: Path, folder: Path, method: str, exported: bool) -> None:
    """Save a model for the scorers, as ONNX too, perhaps in all forms; its training changes no time."""
    options: dict[str, Any] = _random_teacher(method) | _ALL_LEARNED
    understudy.fit(data, folder / "torch", max_steps=1, batch_size=2, statistics="running", **options)
    understudy.export(folder / "torch", folder / "onnx", format="onnx")  # what the light install loads
    if not exported:
        return
    understudy.export(folder / "torch", folder / "openvino", format="openvino")
    understudy.export(
        folder / "torch", folder / "openvino in bf16", format="openvino", precision="bf16", data=data
    )


def scorer(folder: Path, way: str) -> Scorer:
    """What scores with a prepared model: ``torch``, or the light runtime on an exported graph."""
    inspector = understudy.load(folder / way).inspector if way == "torch" else Inspector.load(folder / way)

    def score(pictures: Any, size: int) -> None:
        list(inspector.inspect(list(pictures), batch_size=size))

    return Scorer(score, score)


def learned(data: Path, scratch: Path, steps: int, batch_size: int, seed: int) -> understudy.Model:
    """Train STPM on the embedded teacher, in float32."""
    return understudy.fit(
        data,
        scratch / "model",
        method="stpm",
        teacher=EMBEDDED_TEACHER,
        max_steps=steps,
        batch_size=batch_size,
        seed=seed,
        precision="32",
        **_ALL_LEARNED,
    )


def maps_of(
    model: understudy.Model, files: Sequence[Path]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 256, 256) maps and (N,) scores of some files."""
    found = [result for result in model.predict(list(files)) if isinstance(result, understudy.Result)]
    return np.stack([f.anomaly_map for f in found]), np.array([f.score for f in found], np.float32)


def _random_teacher(method: str) -> dict[str, Any]:
    return {"method": method, "teacher": TEACHERS[method], "teacher_weights": "random"}
