"""Figures of good pictures -> the references that a line is compared with, to notice drift."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from understudy.calibrate.learn import Learned
from understudy.calibrate.thresholds import HeldOut
from understudy.runtime.decision import Calibration, Reference

__all__ = ["with_references"]

NONE: Mapping[str, Learned] = {}


def with_references(
    calibration: Calibration, unseen: Sequence[HeldOut], learned: Mapping[str, Learned] = NONE
) -> Calibration:
    """Return a calibration with the figures of the good pictures of each category.

    Scores and distances are of unseen pictures alone: the training makes those of its own pictures smaller,
    and a corrected figure is an estimate, which is not exchangeable with that of a new picture. Brightness
    and sharpness do not depend on the training, so those of learned pictures count as well.

    Args:
        calibration: thresholds and limits.
        unseen: figures of good pictures that the training has not seen.
        learned: figures of pictures that it learned from, by category.
    """
    names = sorted({*learned, *(each.category for each in unseen if each.category is not None)})
    references = {}
    for name in names:
        own = [each for each in unseen if each.category == name]
        also = learned.get(name)
        references[name] = Reference(
            score=_sorted(each.score for each in own),
            distance=_sorted(each.distance for each in own),
            brightness=_sorted([*(each.brightness for each in own), *(also.brightness if also else ())]),
            sharpness=_sorted([*(each.sharpness for each in own), *(also.sharpness if also else ())]),
        )
    return calibration.model_copy(update={"references": references})


def _sorted(figures: Iterable[float]) -> tuple[float, ...]:
    """Sort figures, without those that are no number, rounded as precisely as a file keeps them."""
    return tuple(sorted(float(f"{x:.6g}") for x in figures if math.isfinite(x)))
