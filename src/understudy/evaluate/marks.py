"""What test pictures are judged by: the thresholds of their category, and the masks of their defects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from understudy.data.records import Record, Saturations
from understudy.errors import InputError, PictureError
from understudy.metrics import Channel
from understudy.runtime.decision import Thresholds, thresholds_for
from understudy.runtime.images import Mask, Size
from understudy.runtime.inspector import Inspector
from understudy.runtime.masks import read_mask_values

__all__ = ["ThresholdChoice", "read_defects", "read_masks", "thresholds_by_category", "union_of"]


ThresholdChoice = Literal["auto", "category", "global"]


def thresholds_by_category(
    inspector: Inspector, categories: Sequence[str], choice: ThresholdChoice
) -> dict[str, Thresholds]:
    """Category -> the thresholds that judge its pictures; empty for a model that is not calibrated.

    Args:
        inspector: the model.
        categories: names of the categories in the data.
        choice: ``auto`` takes a category's own thresholds where it has any, else those for all categories;
            ``category`` insists on its own; ``global`` takes those for all.

    Raises:
        InputError: ``category`` was asked for and a category has no thresholds of its own.
    """
    calibration = inspector.calibration
    own = calibration.categories if calibration else {}
    if choice == "category" and (
        without := [c for c in categories if inspector.match_category(c) not in own]
    ):
        raise InputError(
            f"there are no thresholds of their own for {', '.join(without)}; calibrate with more good "
            "pictures of them, or take --thresholds auto"
        )
    if calibration is None:
        return {}
    named = {c: None if choice == "global" else inspector.match_category(c) for c in categories}
    return {c: thresholds_for(calibration, name) for c, name in named.items()}


def read_defects(record: Record, size: Size, saturations: Saturations | None = None) -> list[Channel] | None:
    """Read the masks of a test picture, one defect a mask.

    Args:
        record: the picture.
        size: (height, width) of the picture, which its masks must have too.
        saturations: value of a mask -> how many of its pixels count as the whole defect; by default all.

    Returns:
        The defects: none for a good picture, ``None`` for a defective picture that has no mask.

    Raises:
        PictureError: a mask cannot be read, has another size than the picture, marks nothing, or has a
            value without a meaning.
    """
    if not record.is_good and not record.masks:
        return None
    return [_channel(path, size, saturations) for path in record.masks]


def read_masks(record: Record, size: Size) -> Mask | None:
    """Read all defects of a test picture as one (H, W) mask; see :func:`read_defects`."""
    defects = read_defects(record, size)
    return None if defects is None else union_of(defects, size)


def union_of(defects: Sequence[Channel], size: Size) -> Mask:
    """Defects -> (H, W) bool, true where any of them is."""
    union = np.zeros(size, dtype=bool)
    for defect in defects:
        union |= defect.mask
    return union


def _channel(path: Path, size: Size, saturations: Saturations | None) -> Channel:
    values = read_mask_values(path, size)
    mask = np.asarray(values != 0)
    area = int(mask.sum())
    if not area:
        raise PictureError(path, "is a mask that marks nothing; mark the defect in it or remove it")
    if not saturations:
        return Channel(mask, area)
    held = np.unique(values[mask]).tolist()
    if len(held) > 1:
        raise PictureError(
            path,
            f"is a mask with the values {', '.join(map(str, held))}; give every defect a mask of its own",
        )
    if held[0] not in saturations:
        raise PictureError(
            path, f"is a mask of value {held[0]}, which defects_config.json does not explain; add it there"
        )
    return Channel(mask, saturations[held[0]].pixels(area))
