"""Which thresholds judge the test pictures of each category."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from understudy.data.records import Record, Saturations
from understudy.errors import InputError, PictureError
from understudy.metrics import Channel
from understudy.runtime.decision import Thresholds, thresholds_for
from understudy.runtime.images import Mask, Size, read_mask_values
from understudy.runtime.inspector import Inspector

__all__ = ["ThresholdChoice", "read_defects", "read_masks", "thresholds_by_category", "union_of"]


ThresholdChoice = Literal["auto", "category", "global"]


def thresholds_by_category(
    inspector: Inspector, categories: Sequence[str], choice: ThresholdChoice
) -> dict[str, Thresholds]:
    """Thresholds of each category; none at all for a model that is not calibrated.

    Args:
        inspector: the model.
        categories: by the data's names.
        choice: ``auto`` takes a category's own where it has any, ``category`` insists on them,
            ``global`` takes those for all.

    Raises:
        InputError: a category has none of its own and ``category`` was asked for.
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
    """Every defect of a test picture, by its own mask; none in a good one; ``None`` where nobody marked them.

    Args:
        record: the picture.
        size: its own, which its masks must have.
        saturations: what the masks' values mean; without, all of a defect's pixels count.

    Raises:
        PictureError: a mask cannot be read, has another size than the picture, marks nothing, or has a
            value without a meaning.
    """
    if not record.is_good and not record.masks:
        return None
    return [_channel(path, size, saturations) for path in record.masks]


def read_masks(record: Record, size: Size) -> Mask | None:
    """All defects of a test picture in one mask; see :func:`read_defects`."""
    defects = read_defects(record, size)
    return None if defects is None else union_of(defects, size)


def union_of(defects: Sequence[Channel], size: Size) -> Mask:
    """Where any of them is."""
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
