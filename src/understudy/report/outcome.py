"""Verdicts of test pictures, counted, and false alarms held against the promise of the thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import betabinom

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

    A threshold that leaves k - 1 of n held-out scores above it is exceeded at a rate of Beta(k, n + 1 - k)
    over calibrations, so false alarms are beta-binomial: wider than binomial where few pictures were held
    out (Vovk, "Conditional validity of inductive conformal predictors", 2012).
    """
    n = thresholds.n_good
    k = max(1, math.floor(round((n + 1) * thresholds.false_alarm_rate, 9)))
    return float(betabinom.sf(false_alarms - 1, n_good, k, n + 1 - k))
