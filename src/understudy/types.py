"""The shapes that travel through the package. Imports nothing heavy."""

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
    "DeviceChoice",
    "Features",
    "GraphFormat",
    "GraphPrecision",
    "Level",
    "Pair",
    "PrecisionChoice",
    "RecipeName",
    "Region",
    "Result",
    "Sampling",
    "Schedule",
    "Statistics",
    "Verdict",
]

Features: TypeAlias = "list[Tensor]"
"""Teacher features, one (B, D, H, W) tensor a level, finest level first."""

Verdict: TypeAlias = Literal["PASS", "REVIEW", "FAIL"]

# What can be asked for by a word; the command line lists the same words.
DeviceChoice: TypeAlias = Literal["auto", "cpu", "cuda"]
PrecisionChoice: TypeAlias = Literal["auto", "32", "bf16"]
RecipeName: TypeAlias = Literal["tuned", "paper"]
Sampling: TypeAlias = Literal["natural", "balanced"]
Schedule: TypeAlias = Literal["constant", "cosine"]
Statistics: TypeAlias = Literal["running", "recomputed"]
GraphFormat: TypeAlias = Literal["onnx", "openvino"]
GraphPrecision: TypeAlias = Literal["float32", "bf16", "int8"]


EMBEDDED_TEACHER = "tf_efficientnet_lite0"
"""The teacher whose weights come with the installation."""


class Level(NamedTuple):
    """One feature level of a teacher: how many channels, and input pixels per feature pixel."""

    channels: int
    stride: int


class Pair(NamedTuple):
    """Teacher and student features of one level.

    Attributes:
        teacher: (B, D, H, W).
        student: (B, D, H, W).
        valid: (B, 1, H, W), 1 where a cell counts and 0 where it does not; ``None`` if every cell does.
    """

    teacher: Tensor
    student: Tensor
    valid: Tensor | None = None


class Region(NamedTuple):
    """Where a defect is, in the picture's own pixels. Rows count from the top, columns from the left, from 0.

    Attributes:
        left: first column of the box around it.
        top: first row of the box.
        right: first column beyond the box; ``right - left`` is its width.
        bottom: first row beyond the box; ``bottom - top`` is its height.
        area: pixels of the region itself, at least 1 and at most those of the box.
        peak: highest value of the anomaly map in it; above the model's pixel threshold.
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

    A picture that could not be judged has an ``error``. Its score is then NaN, its verdict and category are
    ``None``, it has no regions, and its map is empty. So a loop over results never fails.

    Attributes:
        path: the picture's file; a picture without one has its place among the others, such as ``picture-0``.
        score: image-level anomaly score, the maximum of the map. Raw, at least 0, without an upper bound; larger
            is more abnormal. NaN where the picture could not be judged.
        anomaly_map: (h, w) float32 at the model's own resolution, at least 0; larger is more abnormal. Where
            nothing counts it has its lowest value. (0, 0) where the picture could not be judged.
        size: (height, width) of the picture in pixels.
        verdict: PASS, REVIEW or FAIL; ``None`` while the model is not calibrated.
        category: the product that it shows, as said or recognised; ``None`` for an unknown one.
        reason: why the verdict does not come from the score, such as ``unknown product``; else ``None``.
        regions: of the defect, the highest peak first; none while the model is not calibrated.
        error: why the picture could not be judged, one sentence that names it; ``None`` if it was.
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
        """Whether the picture could be judged."""
        return self.error is None
