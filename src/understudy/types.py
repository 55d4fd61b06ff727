"""Types that all packages share: results, regions, feature pairs, choices. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = [
    "EMBEDDED_TEACHER",
    "LEAST_RATE",
    "Basis",
    "DeviceChoice",
    "Features",
    "GraphFormat",
    "GraphPrecision",
    "ImageScore",
    "LayoutChoice",
    "Level",
    "Pair",
    "PrecisionChoice",
    "PresetName",
    "ProviderChoice",
    "RecipeName",
    "Region",
    "Result",
    "Sampling",
    "Schedule",
    "Statistics",
    "StrategyChoice",
    "TrackerName",
    "Verdict",
]

Features: TypeAlias = "list[Tensor]"
"""Features of a batch of images: one (B, D, H, W) tensor per level, the finest level first."""

Verdict: TypeAlias = Literal["PASS", "REVIEW", "FAIL"]
"""PASS: no defect. REVIEW: a person should look. FAIL: defect."""

# Choices that options take; the command line lists the same words.
DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda"]
LayoutChoice: TypeAlias = Literal["auto", "mvtec", "loco", "visa", "products", "good", "list"]
PrecisionChoice: TypeAlias = Literal["auto", "32", "bf16"]
ProviderChoice: TypeAlias = Literal["cpu", "cuda", "tensorrt", "openvino", "coreml", "directml"]
PresetName: TypeAlias = Literal["fast", "balanced", "accurate"]
RecipeName: TypeAlias = Literal["tuned", "paper"]
Sampling: TypeAlias = Literal["natural", "balanced"]
Schedule: TypeAlias = Literal["constant", "cosine", "step"]
StrategyChoice: TypeAlias = Literal["auto", "ddp"]
Statistics: TypeAlias = Literal["running", "recomputed"]
TrackerName: TypeAlias = Literal["mlflow", "tensorboard", "csv"]
GraphFormat: TypeAlias = Literal["onnx", "openvino"]
GraphPrecision: TypeAlias = Literal["float32", "bf16", "int8"]
ImageScore: TypeAlias = Literal["maximum", "comparable", "own"]

Basis: TypeAlias = Literal["promised", "estimated"]
"""What a rate rests on. ``promised``: on pictures that the training has not seen, and on nothing else.
``estimated``: on a tail that was fitted to pictures, most of which it has seen."""


EMBEDDED_TEACHER = "tf_efficientnet_lite0"
"""timm name of the teacher whose weights come with the installation."""

LEAST_RATE = 1e-6
"""Least rate that can be promised, one picture in a million; the largest is as far below 1."""


class Level(NamedTuple):
    """One feature level of a teacher.

    Attributes:
        channels: number of channels D.
        stride: input pixels per feature cell, along each side.
    """

    channels: int
    stride: int


class Pair(NamedTuple):
    """Teacher and student features of one level.

    Attributes:
        teacher: (B, D, H, W) features.
        student: (B, D, H, W) features.
        valid: (B, 1, H, W) mask, 1 where a cell counts and 0 where it does not; ``None`` if all cells count.
    """

    teacher: Tensor
    student: Tensor
    valid: Tensor | None = None


class Region(NamedTuple):
    """One defect: a box around it, its area and its peak, in pixels of the original picture.

    Rows count from the top and columns from the left; both start at 0.

    Attributes:
        left: first column of the box.
        top: first row of the box.
        right: first column to the right of the box; ``right - left`` is the width.
        bottom: first row below the box; ``bottom - top`` is the height.
        area: area of the region in pixels, from 1 to the area of the box.
        peak: largest value of the anomaly map in the region; above the model's pixel threshold.
    """

    left: int
    top: int
    right: int
    bottom: int
    area: int
    peak: float


@dataclass(frozen=True)
class Result:
    """What a model says about one picture.

    If a picture cannot be judged, ``error`` is set. Then the score is NaN, the verdict and the category are
    ``None``, there are no regions, and the map is empty. So a loop over results never fails.

    Attributes:
        path: file of the picture; for a picture in memory, a name with its position, such as ``picture-0``.
        score: image-level anomaly score, without bounds; larger is more abnormal. By default it compares the
            picture with good ones of its product: they score about 0, plus or minus 1. With ``image_score``
            ``maximum`` it is the maximum of the map, with ``own`` what the method's paper says, in the window
            where that is highest. NaN if the picture cannot be judged.
        anomaly_map: (h, w) float32 at the model's resolution; larger is more abnormal. By default in units of
            what is usual at each place of the product; see :mod:`understudy.runtime.usual`. Pixels that do
            not count have the map's lowest value. Shape (0, 0) if the picture cannot be judged.
        size: (height, width) of the picture in pixels; (0, 0) if the picture cannot be judged.
        verdict: PASS, REVIEW or FAIL; ``None`` if the model is not calibrated.
        category: product that the picture shows, as given or recognised; ``None`` for an unknown product.
        reason: why the verdict does not follow from the score, such as ``unknown product``; else ``None``.
        regions: defects, the highest peak first; empty if the model is not calibrated.
        error: why the picture cannot be judged, in one sentence that names it; ``None`` if it was judged.
    """

    path: Path
    score: float
    anomaly_map: NDArray[np.float32]
    size: tuple[int, int]
    verdict: Verdict | None = None
    category: str | None = None
    reason: str | None = None
    regions: tuple[Region, ...] = ()
    error: str | None = None

    @property
    def ok(self) -> bool:
        """True if the picture was judged."""
        return self.error is None
