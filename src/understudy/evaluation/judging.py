"""Which thresholds judge the test pictures of each category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from understudy.errors import InputError
from understudy.model import TrainedModel
from understudy.runtime.decision import Thresholds, thresholds_for

__all__ = ["ThresholdChoice", "thresholds_by_category"]

ThresholdChoice = Literal["auto", "category", "global"]


def thresholds_by_category(
    model: TrainedModel, categories: Sequence[str], choice: ThresholdChoice
) -> dict[str, Thresholds]:
    """Thresholds of each category; none at all for a model that is not calibrated.

    Args:
        model: trained.
        categories: by the data's names.
        choice: ``auto`` takes a category's own where it has any, ``category`` insists on them,
            ``global`` takes those for all.

    Raises:
        InputError: a category has none of its own and ``category`` was asked for.
    """
    calibration = model.calibration
    own = calibration.categories if calibration else {}
    if choice == "category" and (without := [c for c in categories if model.named(c) not in own]):
        raise InputError(
            f"there are no thresholds of their own for {', '.join(without)}; calibrate with more good "
            "pictures of them, or take --thresholds auto"
        )
    if calibration is None:
        return {}
    named = {c: None if choice == "global" else model.named(c) for c in categories}
    return {c: thresholds_for(calibration, name) for c, name in named.items()}
