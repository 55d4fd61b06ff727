"""What the report draws and counts: histograms of scores, ROC curves, verdicts, and the chance of alarms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from understudy.evaluate import Tested
from understudy.evaluate.rates import false_alarm_chances
from understudy.metrics import Ranking
from understudy.runtime.decision import Thresholds

__all__ = [
    "HEIGHT",
    "SIDE",
    "WIDTH",
    "Chart",
    "Histogram",
    "Outcome",
    "Tally",
    "chance_of",
    "chart",
    "histogram",
    "lines_of",
    "outcome_of",
    "roc_path",
]


WIDTH, HEIGHT = 300, 96  # of a histogram in units of the drawing, without its axis
_BINS = 30


@dataclass(frozen=True)
class Histogram:
    """A histogram of scores, ``WIDTH`` x ``HEIGHT``.

    Attributes:
        paths: kind of picture -> outline as SVG path data, closed along the axis. The largest bin of any kind
            reaches the top.
        low: score at the left end of the axis.
        high: score at the right end.
        label: what is drawn, such as the name of a category.
    """

    paths: dict[str, str]
    low: float
    high: float
    label: str

    def at(self, score: float) -> float:
        """Position of a score on the axis, in units of the drawing: 0 at the left, ``WIDTH`` at the right."""
        return WIDTH * (score - self.low) / ((self.high - self.low) or 1)


def histogram(
    kinds: Mapping[str, NDArray[np.float64] | None], label: str, within: Sequence[float] = ()
) -> Histogram:
    """Draw the scores of several kinds of pictures on one axis.

    Heights are shares of a kind, so that kinds with many and with few pictures can be compared.

    Args:
        kinds: kind of picture -> scores, of any shape; a kind without scores is left out.
        label: what is drawn.
        within: further scores that the axis must reach, such as thresholds.
    """
    scores = {kind: s.ravel() for kind, s in kinds.items() if s is not None and s.size}
    low = min(chain(within, (float(s.min()) for s in scores.values())))
    high = max(chain(within, (float(s.max()) for s in scores.values())))
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shares = {kind: np.histogram(s, edges)[0] / s.size for kind, s in scores.items()}
    top = max(float(share.max()) for share in shares.values())
    return Histogram({kind: _outline(share / top) for kind, share in shares.items()}, low, high, label)


def _outline(levels: NDArray[np.float64]) -> str:
    """(bins,) heights in [0, 1] -> SVG path data: steps from the left end of the axis to the right one."""
    step = WIDTH / len(levels)
    places = [f"V{HEIGHT * (1 - level):.1f}H{step * (i + 1):.1f}" for i, level in enumerate(levels)]
    return f"M0 {HEIGHT}{''.join(places)}V{HEIGHT}Z"


@dataclass(frozen=True)
class Tally:
    """Number of pictures, and how many got each verdict; without thresholds none got any."""

    n: int
    failed: int
    reviewed: int
    passed: int


@dataclass(frozen=True)
class Outcome:
    """Counted verdicts of the good and of the defective pictures."""

    good: Tally
    defects: Tally


def outcome_of(tested: Iterable[Tested]) -> Outcome:
    """Count the verdicts of test pictures."""
    verdicts = [(t.record.is_good, t.verdict) for t in tested]
    good, defects = ([v for is_good, v in verdicts if is_good is kind] for kind in (True, False))
    return Outcome(
        *(Tally(len(v), v.count("FAIL"), v.count("REVIEW"), v.count("PASS")) for v in (good, defects))
    )


def chance_of(false_alarms: int, n_good: Mapping[Thresholds, int]) -> float:
    """Probability of this many false alarms or more, if the good pictures are as the thresholds say.

    See :func:`understudy.evaluate.rates.false_alarm_chances`.

    Args:
        false_alarms: number of false alarms in all.
        n_good: thresholds -> number of good pictures that they judged.
    """
    chances = np.ones(1)  # probability of 0, 1, 2, ... false alarms
    for thresholds, n in n_good.items():
        parts = [(thresholds.n_good, n)]
        own = false_alarm_chances(parts, thresholds.false_alarm_rate, thresholds.basis)
        chances = np.convolve(chances, own)
    return float(min(chances[false_alarms:].sum(), 1.0))


SIDE = 100  # side of a ROC curve's square, in units of the drawing
_CORNERS = 200  # corners of a curve, at most: more cannot be seen

Place = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """Drawings of the scores of some pictures.

    Attributes:
        histogram: scores of good and of defective pictures.
        curve: SVG path data of the ROC curve; ``None`` if there are no good or no defective pictures.
        lines: name of a threshold -> its score.
        points: name of a threshold -> its place on the curve.
        outcome: counted verdicts.
    """

    histogram: Histogram
    curve: str | None
    lines: dict[str, float]
    points: dict[str, Place]
    outcome: Outcome


def chart(tested: Sequence[Tested], label: str, lines: dict[str, float]) -> Chart:
    """Draw the scores of at least one picture.

    Args:
        tested: the pictures.
        label: what is drawn, such as the name of a category.
        lines: name of a threshold -> its score.
    """
    scores = np.array([t.score for t in tested])
    is_defect = np.array([not t.record.is_good for t in tested])
    good, bad = scores[~is_defect], scores[is_defect]
    drawn = histogram({"normal": good, "defective": bad}, label, tuple(lines.values()))
    if not (good.size and bad.size):
        return Chart(drawn, None, lines, {}, outcome_of(tested))
    points = {name: _place((good > t).mean(), (bad > t).mean()) for name, t in lines.items()}
    return Chart(drawn, roc_path(*Ranking(scores, is_defect).roc), lines, points, outcome_of(tested))


def lines_of(thresholds: Thresholds | None) -> dict[str, float]:
    """Thresholds -> lines to draw: name of the CSS class -> score; FAIL comes last, so it lies on top.

    There is no line for REVIEW if it begins where FAIL does.
    """
    if thresholds is None:
        return {}
    fail, review = {"fail": thresholds.fail_above}, {"review": thresholds.review_above}
    return fail if thresholds.review_above == thresholds.fail_above else review | fail


def roc_path(fpr: NDArray[np.float64], tpr: NDArray[np.float64]) -> str:
    """(n,) false- and true-positive rates from 0 to 1 -> SVG path data of at most 200 corners."""
    if len(fpr) > _CORNERS:
        along = fpr + tpr  # grows from 0 to 2 along the curve
        kept = np.linspace(0, 2, _CORNERS)
        fpr, tpr = np.interp(kept, along, fpr), np.interp(kept, along, tpr)
    places = (_place(x, y) for x, y in zip(fpr, tpr, strict=True))
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


def _place(fpr: float, tpr: float) -> Place:
    return SIDE * float(fpr), SIDE * (1 - float(tpr))
