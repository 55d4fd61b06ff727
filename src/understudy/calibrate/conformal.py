"""Scores of held-out good pictures -> a threshold and what it promises, by split conformal prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from understudy.errors import InputError

__all__ = [
    "conformal_threshold",
    "good_pictures_needed",
    "promise",
    "rate_bound",
    "smallest_rate",
    "true_rate",
]


CONFIDENCE = 0.95  # of the bound for one calibration


def good_pictures_needed(rate: float) -> int:
    """Return the number of held-out good pictures needed to promise a rate in (0, 1): 99 for 1 %."""
    return math.ceil(round(1 / rate, 9)) - 1


def smallest_rate(n_good: int) -> float:
    """Return the smallest rate that ``n_good`` held-out good pictures can promise: 1 / (n + 1)."""
    return 1 / (n_good + 1)


def conformal_threshold(scores: Sequence[float], rate: float) -> float:
    """Return the threshold that a good picture exceeds with probability ``rate`` at most.

    It is the ceil((n + 1)·(1 - rate))-th smallest of n scores. If the scores are exchangeable, ties included,
    the next good picture exceeds it with probability <= rate, on average over calibrations (split conformal
    prediction, Vovk et al., 2005).

    Args:
        scores: scores of good pictures that the training has not seen.
        rate: probability, in (0, 1).

    Raises:
        InputError: the rate is out of range, a score is infinite or NaN, or there are too few scores.
    """
    if not 0 < rate < 1:
        raise InputError(f"a rate lies between 0 and 1, got {rate}")
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if not np.isfinite(values).all():
        raise InputError("a held-out good picture has a score that is not a number (NaN); check the model")
    n, need = len(values), good_pictures_needed(rate)
    if n == 0:
        raise InputError(
            "no good pictures are left that the model was not trained on; name a folder of others"
        )
    if n < need:
        raise InputError(
            f"a rate of {rate:g} needs at least {need} good pictures that were not "
            f"trained on, got {n}; add pictures or ask for {math.ceil(1e4 * smallest_rate(n)) / 1e4:g}"
        )
    rank = math.ceil(round((n + 1) * (1 - rate), 9))
    return float(values[rank - 1])


def true_rate(n_good: int, rate: float) -> tuple[int, int]:
    """Return the parameters (a, b) of the beta distribution of the true rate over calibrations.

    The threshold leaves k - 1 of n scores above it, with k = floor((n + 1)·rate). So the share of all good
    pictures above it is distributed as Beta(k, n + 1 - k), and smaller if scores are tied (Vovk, "Conditional
    validity of inductive conformal predictors", 2012).

    Args:
        n_good: number of scores n.
        rate: promised rate, in (0, 1).
    """
    k = max(1, math.floor(round((n_good + 1) * rate, 9)))
    return k, n_good + 1 - k


def rate_bound(n_good: int, rate: float, confidence: float = CONFIDENCE) -> float:
    """Return the rate that the true rate of one calibration stays below, with a given confidence.

    It is the quantile of the beta distribution of :func:`true_rate`. Beta(k, n + 1 - k) lies below p exactly
    if at least k of n draws hit, each with probability p.

    Args:
        n_good: number of scores n.
        rate: promised rate, in (0, 1).
        confidence: share of calibrations for which the bound holds, in (0, 1).
    """
    k, _ = true_rate(n_good, rate)
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if _fewer(k, n_good, middle) <= 1 - confidence else (middle, high)
    return high


def _fewer(k: int, n: int, p: float) -> float:
    """Return the probability that fewer than k of n draws hit, each with probability p in (0, 1)."""
    i = np.arange(k)
    chances = np.append(0, np.cumsum(np.log((n - i[:-1]) / i[1:])))  # log of the binomial coefficients
    return float(np.exp(chances + i * math.log(p) + (n - i) * math.log1p(-p)).sum())


def promise(n_good: int, rate: float, happens: str = "fail") -> str:
    """Return in words what a threshold from ``n_good`` pictures at ``rate`` promises.

    Args:
        n_good: number of held-out good pictures.
        rate: promised rate, in (0, 1).
        happens: what happens to a good picture above the threshold, such as ``fail``.
    """
    bound = rate_bound(n_good, rate)
    return (
        f"at most {_percent(rate, 3)} of good pictures {happens}, on average over calibrations; with "
        f"{n_good} pictures, {100 * CONFIDENCE:.0f} % sure it is below {_percent(bound, 2)}"
    )


def _percent(share: float, digits: int) -> str:
    """Format a share in percent, rounded up: a promise must not look smaller than it is."""
    scale = 10.0 ** (digits - 1 - math.floor(math.log10(100 * share)))
    return f"{math.ceil(round(100 * share * scale, 6)) / scale:g} %"
