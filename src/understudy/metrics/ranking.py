"""Ranking of defects among good scores: AUROC, average precision, F1 and partial areas from one count."""

from __future__ import annotations

from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

__all__ = ["Ranking", "auroc_interval"]


Scores = NDArray[np.floating]


class Ranking:
    """Scores with labels -> counts of what lies above each distinct score of a defect.

    The order of good scores between two neighbouring defects changes no metric. So every distinct score
    counts as a threshold, although only the scores of defects are kept. All metrics are fractions in [0, 1],
    and ``None`` if there is no good or no defective score.

    Args:
        scores: (n,) scores; larger is more abnormal.
        is_defect: (n,) bool.

    Attributes:
        above: (m,) number of good scores above each distinct score of a defect, from the largest to the
            smallest.
        equal: (m,) number of good scores equal to it.
        hits: (m,) number of defects with that score.
        weight: (m,) sum of their weights; all weights add up to 1.
        n_good: number of good scores.
        n_defect: number of defects.

    Raises:
        ValueError: the shapes differ, or a score is not finite.
    """

    def __init__(self, scores: Scores, is_defect: NDArray[np.bool_]) -> None:
        scores, is_defect = np.asarray(scores).ravel(), np.asarray(is_defect, dtype=bool).ravel()
        if scores.shape != is_defect.shape:
            raise ValueError(f"{len(scores)} scores for {len(is_defect)} labels")
        self._rank(scores[~is_defect], scores[is_defect], None)

    @classmethod
    def of(cls, good: Scores, defects: Scores, weights: NDArray[np.float64] | None = None) -> Self:
        """Rank the scores of each kind.

        Args:
            good: (n,) scores; sorted in place, to save memory.
            defects: (m,) scores.
            weights: (m,) weights of the defects, in any unit; equal by default.
        """
        ranking = cls.__new__(cls)
        ranking._rank(good, defects, weights)
        return ranking

    @classmethod
    def of_counts(
        cls, good: NDArray[np.int64], hits: NDArray[np.int64], weights: NDArray[np.float64]
    ) -> Self:
        """Rank histograms: (bins,) each, from the lowest bin to the highest. A bin counts as one score."""
        ranking = cls.__new__(cls)
        held = np.flatnonzero((hits > 0) | (weights > 0))[::-1]
        above = good.sum() - np.cumsum(good)
        ranking._keep(above[held], good[held], hits[held], weights[held], int(good.sum()))
        return ranking

    def _rank(self, good: Scores, defects: Scores, weights: NDArray[np.float64] | None) -> None:
        if not (np.isfinite(good).all() and np.isfinite(defects).all()):
            raise ValueError("scores must be finite")
        good.sort()
        order = np.argsort(defects)
        ranked = defects[order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])[: len(ranked)])
        hits = np.diff(starts, append=len(ranked))
        total = hits.astype(np.float64) if weights is None else _sums(weights[order], starts)
        upto, below = (np.searchsorted(good, ranked[starts], side) for side in ("right", "left"))
        self._keep((len(good) - upto)[::-1], (upto - below)[::-1], hits[::-1], total[::-1], len(good))

    def _keep(
        self,
        above: NDArray[np.int64],
        equal: NDArray[np.int64],
        hits: NDArray[np.int64],
        weight: NDArray[np.float64],
        n_good: int,
    ) -> None:
        self.above, self.equal, self.hits, self.n_good = above, equal, hits, n_good
        self.weight = weight / weight.sum() if weight.sum() else weight
        self.n_defect = int(hits.sum())

    @property
    def _has_both(self) -> bool:
        return self.n_defect > 0 and self.n_good > 0

    @property
    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False-positive rates and true-positive rates at the corners of the curve, from (0, 0) to (1, 1)."""
        detected = np.cumsum(self.hits) / max(self.n_defect, 1)
        alarms = np.stack([self.above, self.above + self.equal], axis=1).ravel() / max(self.n_good, 1)
        caught = np.stack([np.append(0, detected[:-1])[: len(detected)], detected], axis=1).ravel()
        return np.concatenate([[0], alarms, [1]]), np.concatenate([[0], caught, [1]])

    def auroc(self) -> float | None:
        """Area under the ROC curve; a tie counts half."""
        if not self._has_both:
            return None
        below = self.n_good - self.above - self.equal / 2
        return float((self.hits * below).sum() / (self.n_defect * self.n_good))

    def average_precision(self) -> float | None:
        """Sum over the thresholds of precision times gain in recall, without interpolation."""
        if not self._has_both:
            return None
        detected = np.cumsum(self.hits)
        return float((self.hits * detected / (detected + self.above + self.equal)).sum() / self.n_defect)

    def f1_max(self) -> float | None:
        """Largest F1 over all thresholds."""
        if not self._has_both:
            return None
        detected = np.cumsum(self.hits)
        return float((2 * detected / (detected + self.above + self.equal + self.n_defect)).max())

    def area(self, limit: float) -> float | None:
        """Area under the curve of weighted hits over the false-positive rate, up to a limit, divided by it.

        The curve is straight between neighbouring distinct scores, and is interpolated at the limit.

        Args:
            limit: largest false-positive rate, in (0, 1].

        Raises:
            ValueError: the limit is not in (0, 1].
        """
        if not 0 < limit <= 1:
            raise ValueError(f"the limit of the false-positive rate lies in (0, 1], got {limit}")
        if not self._has_both:
            return None
        end = limit * self.n_good
        inside = np.clip(end - self.above, 0.0, None)  # good scores between a defect's score and the limit
        whole = inside - self.equal / 2
        cut = inside**2 / np.maximum(2 * self.equal, 1)
        return float((self.weight * np.where(inside >= self.equal, whole, cut)).sum() / end)


def _sums(values: NDArray[np.float64], starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sums of the runs of values that begin at ``starts``."""
    return np.add.reduceat(values, starts) if len(values) else np.zeros(0)


_NEAR = 1e-12  # 0 and 1 are roots too, but not ends of the interval


def auroc_interval(auroc: float, n_good: int, n_defect: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of an AUROC, by Newcombe's method 5.

    It holds all values that the measured one does not contradict, given the standard error of Hanley and
    McNeil at that value, with the mean of both sample sizes in its numerator. It is a score interval: it
    stays in [0, 1], and it does not shrink to nothing if all defects outrank all good pictures (Newcombe,
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2", Statistics
    in Medicine 25, 2006).

    Args:
        auroc: measured AUROC, in [0, 1].
        n_good: number of good pictures, at least 1.
        n_defect: number of defective pictures, at least 1.
        confidence: confidence level, in (0, 1).

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ValueError: a number is out of range.
    """
    if not 0 <= auroc <= 1 or min(n_good, n_defect) < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"no interval of AUROC {auroc} from {n_good} good and {n_defect} defects at {confidence}"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    extra = (n_good + n_defect) / 2 - 1

    def beyond(value: float) -> float:
        """Squared distance from ``value`` to the measured AUROC, minus the part that chance explains."""
        spread = value * (1 - value) * (1 + extra * ((1 - value) / (2 - value) + value / (1 + value)))
        return (auroc - value) ** 2 - z**2 * spread / (n_good * n_defect)

    low = 0.0 if auroc == 0 else float(brentq(beyond, 0, min(auroc, 1 - _NEAR)))
    high = 1.0 if auroc == 1 else float(brentq(beyond, max(auroc, _NEAR), 1))
    return low, high
