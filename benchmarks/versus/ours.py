"""Understudy's side: the work through its public functions, with its defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy import METHODS, Inspector, Model
from understudy.distill.network import resolve_device
from understudy.distill.precision import resolve_precision
from understudy.types import EMBEDDED_TEACHER, PrecisionChoice
from versus.measure import Scorer, Training

__all__ = ["learned", "maps_of", "prepare", "scorer", "training"]

TEACHERS = {"stpm": "resnet18", "rd": "wide_resnet50_2"}
# anomalib holds no picture back, so Understudy learns from all of them too
_ALL_LEARNED: dict[str, Any] = {"holdout": 0, "validation": 0, "progress": False}


def training(
    data: Path,
    scratch: Path,
    method: str,
    batch: int | None,
    precision: PrecisionChoice | None,
    cache_features: str,
) -> Training:
    """Prepare a training on a category's good pictures, with a teacher of random weights."""
    precision = precision or "auto"
    options: dict[str, Any] = _random_teacher(method) | _ALL_LEARNED
    options |= {"batch_size": batch, "precision": precision, "cache_features": cache_features}
    return Training(
        lambda: Model.fit(data, out=scratch / "model", **options),
        batch or METHODS[method].recipes["paper"].batch_size,
        resolve_precision(precision, resolve_device("auto")),
    )


def prepare(data: Path, folder: Path, method: str, exported: bool) -> None:
    """Save a model for the scorers, and as ONNX too; export it in all forms if asked.

    One step is enough, because the quality of a model changes no time.
    """
    options: dict[str, Any] = _random_teacher(method) | _ALL_LEARNED
    steps: dict[str, Any] = {"max_steps": 1, "batch_size": 2, "statistics": "running"}
    model = Model.fit(data, out=folder / "torch", **steps, **options)
    model.export(folder / "onnx", format="onnx", progress=False)  # the light installation loads this one
    if exported:
        model.export(folder / "openvino", format="openvino", progress=False)
        bf16 = folder / "openvino in bf16"
        model.export(bf16, format="openvino", precision="bf16", data=data, progress=False)


def scorer(folder: Path, way: str) -> Scorer:
    """Load a prepared model: the trained one for ``torch``, else an exported one for the light runtime."""
    inspector = Model.load(folder / way).inspector if way == "torch" else Inspector.load(folder / way)

    def score(pictures: Any, size: int) -> None:
        list(inspector.predict(list(pictures), batch_size=size))

    return Scorer(score, score)


def learned(data: Path, scratch: Path, steps: int, batch_size: int, seed: int) -> Model:
    """Train STPM on the embedded teacher, in float32."""
    return Model.fit(
        data,
        out=scratch / "model",
        method="stpm",
        teacher=EMBEDDED_TEACHER,
        max_steps=steps,
        batch_size=batch_size,
        seed=seed,
        precision="32",
        **_ALL_LEARNED,
    )


def maps_of(model: Model, files: Sequence[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """N files -> (N, 256, 256) maps and (N,) scores."""
    found = [result for result in model.predict(list(files)) if result.ok]
    return np.stack([f.anomaly_map for f in found]), np.array([f.score for f in found], np.float32)


def _random_teacher(method: str) -> dict[str, Any]:
    return {"method": method, "teacher": TEACHERS[method], "teacher_weights": "random"}
