"""One descending sort of scores, from which AUROC, average precision and best F1 follow."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ranking"]


class Ranking:
    """Counts above every distinct threshold, for scores with labels.

    Args:
        scores: (n,) larger is more abnormal.
        is_defect: (n,) bool.

    Raises:
        ValueError: the shapes differ, or a score is not finite.

    Attributes:
        order: (n,) indices from the largest score to the smallest.
        ends: (m,) where each run of equal scores ends in that order.

    All metrics are fractions in [0, 1], and ``None`` where one of the two kinds is missing.
    """

    def __init__(self, scores: NDArray[np.floating], is_defect: NDArray[np.bool_]) -> None:
        scores, is_defect = np.asarray(scores).ravel(), np.asarray(is_defect, dtype=bool).ravel()
        if scores.shape != is_defect.shape:
            raise ValueError(f"{len(scores)} scores for {len(is_defect)} labels")
        self.order, self.ends = _descending(scores)
        self._hits = np.cumsum(is_defect[self.order])[self.ends]
        self._alarms = self.ends + 1 - self._hits
        self.n_defect = int(is_defect.sum())
        self.n_good = len(scores) - self.n_defect

    @property
    def _has_both(self) -> bool:
        return self.n_defect > 0 and self.n_good > 0

    @cached_property
    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False-positive and true-positive rate at every distinct threshold, from (0, 0) to (1, 1)."""
        fpr = np.concatenate([[0], self._alarms / max(self.n_good, 1)])
        tpr = np.concatenate([[0], self._hits / max(self.n_defect, 1)])
        return fpr, tpr

    def auroc(self) -> float | None:
        """Area under the ROC curve; a tie counts half."""
        if not self._has_both:
            return None
        fpr, tpr = self.roc
        return float(np.trapezoid(tpr, fpr))

    def average_precision(self) -> float | None:
        """Sum of precision times gain in recall over the thresholds, without interpolation."""
        if not self._has_both:
            return None
        precision = self._hits / (self._hits + self._alarms)
        gained = np.diff(self._hits, prepend=0)
        return float((precision * gained).sum() / self.n_defect)

    def f1_max(self) -> float | None:
        """Largest F1 over all thresholds."""
        if not self._has_both:
            return None
        return float((2 * self._hits / (self._hits + self._alarms + self.n_defect)).max())


def _descending(scores: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(n,) scores -> order from largest to smallest, and where each run of equal scores ends."""
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    order = np.argsort(-scores, kind="stable" if len(scores) < 1000 else "quicksort")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(scores) else order
    return order, ends
