"""Pixel scores of many pictures, added up: exactly, or in bins with a bound on the error."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from understudy.metrics.overlap import Weighed
from understudy.metrics.ranking import Ranking

__all__ = ["BINS", "EXACT_PIXELS", "PixelTally", "bin_of", "largest_error"]


_BITS = 18
BINS = 2**_BITS
"""Number of bins: one per sign, 8 bits of exponent and 9 bits of fraction of a float32.

A bin is at most 0.2 % wide, and the range of the scores need not be known beforehand.
"""

_SIGN = np.uint32(1 << 31)


def bin_of(scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """(n,) scores -> (n,) numbers of their bins, in the order of the scores.

    Raises:
        ValueError: a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return (ordered >> np.uint32(32 - _BITS)).astype(np.intp)


def largest_error(ranking: Ranking, limit: float) -> dict[str, float] | None:
    """Bound how far the metrics of binned scores can be from the exact ones.

    The order of scores within a bin is unknown. The exact curve goes from one corner of the bin's rectangle
    to the opposite corner and never turns back, so an area misses half the rectangle at most. Precision lies
    between that of all good scores first and that of all defects first. F1 at the end of a bin is exact.

    Args:
        ranking: ranking of bins.
        limit: largest false-positive rate of the partial area, in (0, 1].

    Returns:
        Bounds under ``auroc``, ``ap``, ``f1max`` and ``area``; ``None`` if there are no metrics.
    """
    if not (ranking.n_good and ranking.n_defect):
        return None
    above, equal, hits = ranking.above, ranking.equal, ranking.hits
    caught = np.cumsum(hits)
    before = caught - hits
    first, last = (before + 1) / (before + 1 + above + equal), caught / (caught + above)
    ours = caught / (caught + above + equal)
    best_f1 = (2 * caught / (caught + above + ranking.n_defect)).max()
    end = limit * ranking.n_good
    inside = np.clip(end - above, 0, None)
    missed = np.where(inside >= equal, equal / 2, inside)  # all of a bin that the limit cuts
    return {
        "auroc": float((hits * equal / 2).sum() / (ranking.n_defect * ranking.n_good)),
        "ap": float((hits * np.maximum(last - ours, ours - first)).sum() / ranking.n_defect),
        "f1max": float(best_f1 - (ranking.f1_max() or 0)),
        "area": float((ranking.weight * missed).sum() / end),
    }


EXACT_PIXELS = 2**27
"""Number of pixels up to which scores are kept one by one.

They take 0.5 GiB. Ranking takes twice that, and about 90 bytes for each defective pixel.
"""


class PixelTally(Metric):
    """Adds up :class:`understudy.metrics.overlap.Weighed` pictures; ``compute`` returns their Ranking.

    A torchmetrics metric: several processes may each add a share of the pictures, and ``merge_state`` joins
    two tallies.

    Args:
        exact: keep every score, at four bytes each. Else count scores in ``BINS`` bins of a fixed relative
            width: 6 MiB for any number of pictures, with an error within :func:`largest_error`.
        sync_on_compute: join the tallies of all processes, if there are several.

    Attributes:
        good: scores of good pixels; in bins, their number in each bin.
        defects: scores of defective pixels; in bins, their number in each bin.
        weights: weights of defective pixels; in bins, their sum in each bin.

    Example:
        >>> tally = PixelTally()
        >>> tally.update(by_region(anomaly_map, mask))  # doctest: +SKIP
        >>> tally.compute().area(0.3)  # doctest: +SKIP
    """

    full_state_update = False
    good: Any
    defects: Any
    weights: Any

    def __init__(self, exact: bool = True, sync_on_compute: bool = True) -> None:
        super().__init__(compute_with_cache=False, sync_on_compute=sync_on_compute)
        self.exact = exact
        # A process without a picture sends empty float32 lists, so all lists are float32.
        kinds = {"good": torch.int64, "defects": torch.int64, "weights": torch.float64}
        for name, dtype in kinds.items():
            default: Any = [] if exact else torch.zeros(BINS, dtype=dtype)
            self.add_state(name, default, dist_reduce_fx="cat" if exact else "sum")

    def update(self, picture: Weighed) -> None:
        """Add one picture. Its scores are not copied, so several tallies may share them."""
        good, defects, weights = picture
        if self.exact:
            self.good.append(torch.from_numpy(good))
            self.defects.append(torch.from_numpy(defects))
            self.weights.append(torch.from_numpy(weights.astype(np.float32)))
            return
        self.good += torch.from_numpy(np.bincount(bin_of(good), minlength=BINS))
        if len(defects):
            at = bin_of(defects)
            self.defects += torch.from_numpy(np.bincount(at, minlength=BINS))
            self.weights += torch.from_numpy(np.bincount(at, weights, minlength=BINS))

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another tally holds.

        Raises:
            ValueError: one tally is exact and the other is not.
        """
        if isinstance(incoming_state, PixelTally):
            if incoming_state.exact != self.exact:
                raise ValueError("an exact tally and one in bins do not merge; make both of one form")
            self._update_count += incoming_state.update_count  # or compute warns that nothing was added
        super().merge_state(incoming_state)

    def compute(self) -> Ranking:
        """Rank all scores that were added."""
        if not self.exact:
            return Ranking.of_counts(*(s.cpu().numpy() for s in (self.good, self.defects, self.weights)))
        good, defects, weights = (_joined(s) for s in (self.good, self.defects, self.weights))
        return Ranking.of(good, defects, weights.astype(np.float64))


def _joined(parts: list[Tensor] | Tensor) -> NDArray[np.float32]:
    """Join the parts in a new array, which may be sorted in place; a tensor comes from several processes."""
    arrays = [parts] if isinstance(parts, Tensor) else parts
    return np.concatenate([np.zeros(0, np.float32), *(part.cpu().numpy() for part in arrays)])
