"""Verdicts of test pictures, counted, and false alarms held against the promise of the thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
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


def chance_of(false_alarms: int, n_good: Mapping[Thresholds, int]) -> float:
    """Probability of so many false alarms or more among good pictures that are like the held-out ones.

    Args:
        false_alarms: in all.
        n_good: how many good pictures each thresholds have judged.

    The true rate is beta-distributed over calibrations, so false alarms are beta-binomial: wider than
    binomial where few pictures were held out; see :func:`understudy.conformal.true_rate`.
    """
    chances = np.ones(1)  # of 0, 1, 2, ... false alarms
    for thresholds, n in n_good.items():
        rate = true_rate(thresholds.n_good, thresholds.false_alarm_rate)
        chances = np.convolve(chances, betabinom.pmf(np.arange(n + 1), n, *rate))
    return float(min(chances[false_alarms:].sum(), 1.0))
