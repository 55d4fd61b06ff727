"""Scores of a category -> its histogram and its ROC curve, with the thresholds' places on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from understudy.evaluation import Tested
from understudy.metrics import Ranking
from understudy.report.histogram import Histogram, histogram
from understudy.report.outcome import Outcome, outcome_of
from understudy.runtime.decision import Thresholds

__all__ = ["SIDE", "Chart", "chart", "lines_of", "roc_path"]

SIDE = 100  # of a ROC curve's square
_CORNERS = 200  # of a curve, at most: more cannot be seen

Place = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Drawings of some pictures' scores.

    Attributes:
        histogram: of good and of defective pictures.
        curve: SVG path data of the ROC curve; ``None`` where one of the two kinds is missing.
        lines: scores of the thresholds.
        points: where each threshold lies on the curve.
        outcome: what the thresholds made of the pictures.
    """

    histogram: Histogram
    curve: str | None
    lines: dict[str, float]
    points: dict[str, Place]
    outcome: Outcome


def chart(tested: Sequence[Tested], label: str, lines: dict[str, float]) -> Chart:
    """Draw the scores of one picture at least; ``lines`` are thresholds by name."""
    scores = np.array([t.score for t in tested])
    is_defect = np.array([not t.record.is_good for t in tested])
    good, bad = scores[~is_defect], scores[is_defect]
    drawn = histogram({"normal": good, "defective": bad}, label, tuple(lines.values()))
    if not (good.size and bad.size):
        return Chart(drawn, None, lines, {}, outcome_of(tested))
    points = {name: _place((good > t).mean(), (bad > t).mean()) for name, t in lines.items()}
    return Chart(drawn, roc_path(*Ranking(scores, is_defect).roc), lines, points, outcome_of(tested))


def lines_of(thresholds: Thresholds | None) -> dict[str, float]:
    """Thresholds by the class that draws them, the more important one last, on top; one without REVIEW."""
    if thresholds is None:
        return {}
    fail, review = {"fail": thresholds.fail_above}, {"review": thresholds.review_above}
    return fail if thresholds.review_above == thresholds.fail_above else review | fail


def roc_path(fpr: NDArray[np.float64], tpr: NDArray[np.float64]) -> str:
    """(n,) rates from (0, 0) to (1, 1) -> SVG path data; many corners become fewer along the curve."""
    if len(fpr) > _CORNERS:
        along = fpr + tpr  # grows all the way
        kept = np.linspace(0, 2, _CORNERS)
        fpr, tpr = np.interp(kept, along, fpr), np.interp(kept, along, tpr)
    places = (_place(x, y) for x, y in zip(fpr, tpr, strict=True))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _place(fpr: float, tpr: float) -> Place:
    return SIDE * float(fpr), SIDE * (1 - float(tpr))
