"""Pixels of many pictures, added one picture at a time, by one process or by several: exact or in bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from understudy.metrics.binned import BINS, bin_of, largest_error
from understudy.metrics.ranking import Ranking
from understudy.metrics.weighing import Weighed

__all__ = ["EXACT_PIXELS", "PixelTally"]

EXACT_PIXELS = 2**27  # good pixels that are kept one by one: 0.5 GiB held, twice that when ranked


class PixelTally(Metric):
    """Adds up :class:`understudy.metrics.weighing.Weighed` pictures; ``compute`` gives their Ranking.

    A torchmetrics metric: processes that each add a share of the pictures compute the figures of all,
    and two tallies merge with ``merge_state``.

    Args:
        exact: keep every score, four bytes each; else count them in ``BINS`` bins of a fixed relative
            width, in 6 MiB whatever the number of pictures, and see :meth:`error`.

    Example:
        >>> tally = PixelTally()
        >>> tally.update(by_region(anomaly_map, mask))  # doctest: +SKIP
        >>> tally.compute().area(0.3)  # doctest: +SKIP
    """

    full_state_update = False
    good: Any
    defects: Any
    weights: Any

    def __init__(self, exact: bool = True) -> None:
        super().__init__()
        self.exact = exact
        if exact:
            for name in ("good", "defects", "weights"):
                self.add_state(name, [], dist_reduce_fx="cat")
        else:
            self.add_state("good", torch.zeros(BINS, dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state("defects", torch.zeros(BINS, dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state("weights", torch.zeros(BINS, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, picture: Weighed) -> None:
        """Add one picture."""
        good, defects, weights = picture
        if self.exact:
            self.good.append(torch.from_numpy(np.ascontiguousarray(good)))
            self.defects.append(torch.from_numpy(np.ascontiguousarray(defects)))
            self.weights.append(torch.from_numpy(np.ascontiguousarray(weights)))
            return
        self.good += torch.from_numpy(np.bincount(bin_of(good), minlength=BINS))
        at = bin_of(defects)
        self.defects += torch.from_numpy(np.bincount(at, minlength=BINS))
        self.weights += torch.from_numpy(np.bincount(at, weights, minlength=BINS))

    def compute(self) -> Ranking:
        """Rank what was added."""
        if not self.exact:
            return Ranking.of_counts(self.good.numpy(), self.defects.numpy(), self.weights.numpy())
        good, defects = _joined(self.good, np.float32), _joined(self.defects, np.float32)
        return Ranking.of(good, defects, _joined(self.weights, np.float64))

    def error(self, ranking: Ranking, limit: float) -> dict[str, float] | None:
        """How far figures of ``compute`` are from exact at most; ``None`` where they are exact."""
        return None if self.exact else largest_error(ranking, limit)


def _joined(parts: list[Tensor] | Tensor, dtype: type[np.floating]) -> NDArray[Any]:
    """One array of its own, which may be sorted in place; several processes have joined it already."""
    arrays = [parts] if isinstance(parts, Tensor) else parts
    return np.concatenate([np.zeros(0, dtype), *(part.cpu().numpy() for part in arrays)])
