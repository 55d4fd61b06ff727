"""The three shapes that travel through the package. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Features", "Level", "Pair", "Prediction", "Region", "Verdict"]

Features: TypeAlias = "list[Tensor]"
"""Teacher features, one (B, D, H, W) tensor a level, finest level first."""

Verdict: TypeAlias = Literal["PASS", "REVIEW", "FAIL"]


class Level(NamedTuple):
    """One feature level of a teacher: how many channels, and input pixels per feature pixel."""

    channels: int
    stride: int


class Pair(NamedTuple):
    """Teacher and student features of one level.

    Attributes:
        teacher: (B, D, H, W).
        student: (B, D, H, W).
        care: (B, 1, H, W), 1 where a cell counts and 0 where it does not; ``None`` if every cell does.
    """

    teacher: Tensor
    student: Tensor
    care: Tensor | None = None


class Region(NamedTuple):
    """Where a defect is, in the picture's own pixels.

    Attributes:
        left: of the box around it.
        top: likewise.
        right: the first column beyond the box.
        bottom: the first row beyond it.
        area: pixels of the region itself.
        peak: highest value of the map in it.
    """

    left: int
    top: int
    right: int
    bottom: int
    area: int
    peak: float


@dataclass(frozen=True)
class Prediction:
    """What a model says about one picture.

    Attributes:
        path: the picture's file; of an array its place among the others, such as ``array-0``.
        score: image-level anomaly score, raw; larger is more abnormal.
        anomaly_map: (h, w) float32 at the model's own resolution; larger is more abnormal. Where nothing
            counts it has its lowest value.
        size: (height, width) of the picture.
        verdict: PASS, REVIEW or FAIL, or ``None`` while the model is not calibrated.
        category: the product that it shows, as said or recognised; ``None`` for an unknown one.
        reason: of a verdict that does not come from the score.
        regions: of the defect, the highest peak first; none while the model is not calibrated.
    """

    path: Path
    score: float
    anomaly_map: NDArray[np.float32]
    size: tuple[int, int]
    verdict: Verdict | None
    category: str | None
    reason: str | None
    regions: tuple[Region, ...] = ()
