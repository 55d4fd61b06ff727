"""What is usual in the maps of a product's good pictures, so that scores of all products mean the same.

A map value of 2 may be much for one product and little for another, and much in the middle of a product and
little at its rim. So each product has a *level*, the mean of its maps, and a *spread* at each place. The
*relative map* is the map minus the level, divided by the spread. A picture's *excess* is the mean of the
highest cells of its relative map. Its score is the excess minus the *centre*, divided by the *scale*. These
are the mean and the standard deviation of the excess over good pictures, so a good picture scores about 0,
plus or minus 1.

Where pictures have a composition, what is unusual in that is part of the excess; see
:mod:`understudy.runtime.usual_composition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.images import Mask, resize_map
from understudy.runtime.usual_composition import UsualComposition

__all__ = ["CELL", "HIGHEST", "ProductUsual", "Usual", "cells_of", "excess_of"]


CELL = 4
"""Side of a cell in pixels of the map. Maps are smooth, so finer cells show nothing more."""

HIGHEST = 0.0025
"""Cells whose mean is the excess, as a share of the cells of one window; docs/decisions/0047 chose it."""


@dataclass(frozen=True)
class ProductUsual:
    """What is usual in the maps of one product's good pictures.

    Attributes:
        level: mean of the maps, in units of the map.
        spread: (h, w) float32 standard deviation of the maps in each cell, above 0, in units of the map;
            (1, 1) if places mean nothing, because pictures of the product have several shapes.
        centre: mean excess of good pictures.
        scale: standard deviation of their excess, above 0.
        n_good: number of good pictures that all this was learned from, at least 1.
        composition: what is usual in their compositions; ``None`` if that has no part in the score.
    """

    level: float
    spread: NDArray[np.float32]
    centre: float
    scale: float
    n_good: int
    composition: UsualComposition | None = None

    def relative(self, anomaly_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, w) map -> (h, w) relative map: how many spreads each pixel is above the level."""
        size = anomaly_map.shape[:2]
        spread: NDArray[np.float32] | np.float32 = self._overall
        if self.spread.shape == _grid(size):
            spread = self._enlarged if size == self._enlarged.shape else resize_map(self.spread, size)
        return np.asarray((anomaly_map - np.float32(self.level)) / spread, np.float32)

    def score(
        self,
        anomaly_map: NDArray[np.float32],
        valid: Mask | None,
        window: int,
        composition: NDArray[np.float32] | None = None,
    ) -> float:
        """(h, w) map -> score of the picture; NaN if a pixel that counts is not a number.

        Args:
            anomaly_map: map of the picture.
            valid: (h, w) mask, false where a pixel does not count; ``None`` if all pixels count.
            window: side of a window in pixels.
            composition: (N,) composition of the picture; ``None`` scores the map alone.
        """
        with np.errstate(invalid="ignore"):  # of infinity minus infinity, which is no number either
            if np.isnan(anomaly_map.sum(dtype=np.float64, where=True if valid is None else valid)):
                return float("nan")
        cells = cells_of(anomaly_map, valid)
        spread = self.spread if self.spread.shape == cells.shape else self._overall
        score = (excess_of((cells - np.float32(self.level)) / spread, window) - self.centre) / self.scale
        if self.composition is None or composition is None:
            return score
        return score + self.composition.score(composition)

    @cached_property
    def _overall(self) -> np.float32:
        """Spread of a place that is not known."""
        return np.float32(np.sqrt(np.mean(np.square(self.spread, dtype=np.float64))))

    @cached_property
    def _enlarged(self) -> NDArray[np.float32]:
        """Spread of each pixel of a map whose sides are whole numbers of cells."""
        height, width = self.spread.shape
        return resize_map(self.spread, (height * CELL, width * CELL))


Usual = Mapping[str, ProductUsual]
"""What is usual, by product."""


def cells_of(anomaly_map: NDArray[np.float32], valid: Mask | None = None) -> NDArray[np.float32]:
    """(H, W) map -> (h, w) float32 means of its cells; NaN where no pixel of a cell counts.

    Cells at the right and the lower border may hold fewer pixels.
    """
    height, width = anomaly_map.shape
    rows, columns = _grid((height, width))
    beyond = ((0, rows * CELL - height), (0, columns * CELL - width))
    counts = np.pad(np.ones((height, width), bool) if valid is None else valid, beyond)
    values = np.where(counts, np.pad(anomaly_map, beyond), np.float32(0))
    blocks = (rows, CELL, columns, CELL)
    total = values.reshape(blocks).sum(axis=(1, 3), dtype=np.float64)
    number = counts.reshape(blocks).sum(axis=(1, 3))
    means = np.divide(total, number, out=np.full((rows, columns), np.nan), where=number > 0)
    return np.asarray(means, np.float32)


def excess_of(relative_cells: NDArray[np.floating], window: int) -> float:
    """(h, w) cells of a relative map -> mean of the highest ones; 0 if no cell counts.

    Args:
        relative_cells: cells; NaN where nothing counts.
        window: side of a window in pixels: its cells, times :data:`HIGHEST`, are the number of highest cells.
    """
    counting = relative_cells[~np.isnan(relative_cells)]
    n = min(counting.size, max(1, round(HIGHEST * (window / CELL) ** 2)))
    if not n:
        return 0.0
    highest = np.partition(counting, counting.size - n)[counting.size - n :]
    return float(np.sort(highest).mean(dtype=np.float64))


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a map -> (rows, columns) of its cells."""
    height, width = size
    return -(-height // CELL), -(-width // CELL)
