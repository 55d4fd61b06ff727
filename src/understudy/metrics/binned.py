"""Scores in bins of a fixed relative width: where a score belongs, and what that can cost a metric."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy.metrics.ranking import Ranking

__all__ = ["BINS", "bin_of", "largest_error"]

_BITS = 18
BINS = 2**_BITS
"""Sign, eight bits of exponent and nine of fraction of a float32: a bin is at most 0.2 % wide, without
any range to be known before."""

_SIGN = np.uint32(1 << 31)


def bin_of(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """(n,) -> (n,) numbers of bins, in the order of the scores.

    Raises:
        ValueError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (ordered >> np.uint32(32 - _BITS)).astype(np.intp)


def largest_error(ranking: Ranking, limit: float) -> dict[str, float] | None:
    """How far from exact the metrics of binned scores can be, at most.

    Within a bin the order of the scores is unknown. The curve of an area goes from one corner of the
    bin's rectangle to the opposite one and only up, so it misses half the rectangle at most; precision
    lies between that of all good scores first and that of all defects first; F1 at a bin's end is one
    that was reached.

    Args:
        ranking: of bins.
        limit: of the false-positive rate, for the area up to it.

    Returns:
        Bounds under ``auroc``, ``ap``, ``f1max`` and ``area``; ``None`` where there are no metrics.
    """
    if not (ranking.n_good and ranking.n_defect):
        return None
    above, equal, hits = ranking.above, ranking.equal, ranking.hits
    found = np.cumsum(hits)
    before = found - hits
    first, last = (before + 1) / (before + 1 + above + equal), found / (found + above)
    ours = found / (found + above + equal)
    best_f1 = (2 * found / (found + above + ranking.n_defect)).max()
    end = limit * ranking.n_good
    inside = np.clip(end - above, 0, None)
    missed = np.where(inside >= equal, equal / 2, inside)  # of the bin that the limit cuts, all
    return {
        "auroc": float((hits * equal / 2).sum() / (ranking.n_defect * ranking.n_good)),
        "ap": float((hits * np.maximum(last - ours, ours - first)).sum() / ranking.n_defect),
        "f1max": float(best_f1 - (ranking.f1_max() or 0)),
        "area": float((ranking.weight * missed).sum() / end),
    }
