"""Verdicts of test pictures, counted, and false alarms held against the promise of the thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import betabinom

from understudy.conformal import true_rate
from understudy.evaluation import Tested
from understudy.runtime.decision import Thresholds

__all__ = ["Outcome", "Tally", "chance_of", "outcome_of"]


@dataclass(frozen=True)
class Tally:
    """How many pictures there are, and how many got each verdict: none did without thresholds."""

    n: int
    failed: int
    reviewed: int
    passed: int


@dataclass(frozen=True)
class Outcome:
    """Verdicts of good and of defective pictures."""

    good: Tally
    defects: Tally


def outcome_of(tested: Iterable[Tested]) -> Outcome:
    """Count the verdicts of some pictures."""
    verdicts = [(t.record.is_good, t.verdict) for t in tested]
    good, defects = ([v for is_good, v in verdicts if is_good is kind] for kind in (True, False))
    return Outcome(
        *(Tally(len(v), v.count("FAIL"), v.count("REVIEW"), v.count("PASS")) for v in (good, defects))
    )


def chance_of(false_alarms: int, n_good: int, thresholds: Thresholds) -> float:
    """Probability of so many false alarms or more among good pictures that are like the held-out ones.

    The true rate is beta-distributed over calibrations, so false alarms are beta-binomial: wider than
    binomial where few pictures were held out; see :func:`understudy.conformal.true_rate`.
    """
    own = true_rate(thresholds.n_good, thresholds.false_alarm_rate)
    return float(betabinom.sf(false_alarms - 1, n_good, *own))
