"""Pixel scores of test pictures by kind of defect, and how many pixels there are to keep."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.data.records import GOOD, Record
from understudy.metrics import BINS, EXACT_PIXELS, PixelTally, Ranking, Weighed, largest_error
from understudy.runtime.images import Size, read_size

__all__ = ["PixelBudget", "PixelsByKind", "count_pixels"]


class PixelsByKind:
    """Pixel scores of pictures, kept by kind of defect, so that each picture is counted once.

    Args:
        exact: keep every pixel's score, or count scores in bins; see :class:`understudy.metrics.PixelTally`.
    """

    def __init__(self, exact: bool) -> None:
        self._exact = exact
        self._tallies: dict[str, PixelTally] = {}

    def add(self, kind: str, picture: Weighed) -> None:
        """Add the pixels of one picture; ``kind`` is its kind of defect, or ``good``."""
        if kind not in self._tallies:
            self._tallies[kind] = PixelTally(self._exact, sync_on_compute=False)
        self._tallies[kind].update(picture)

    @property
    def kinds(self) -> list[str]:
        """Kinds of defect that were added, sorted."""
        return sorted(self._tallies.keys() - {GOOD})

    def ranking(self, kind: str | None = None) -> Ranking | None:
        """Rank the pixels of the good pictures together with one kind of defect, or with all kinds.

        Returns:
            The ranking; ``None`` if no picture has such a defect.
        """
        kinds = self.kinds if kind is None else [kind]
        if not all(k in self._tallies for k in kinds) or not kinds:
            return None
        whole = PixelTally(self._exact, sync_on_compute=False)
        for name in [GOOD, *kinds]:
            if name in self._tallies:
                whole.merge_state(self._tallies[name])
        return whole.compute()

    def error(self, ranking: Ranking, limit: float) -> dict[str, float] | None:
        """Largest error of each figure of a ranking; ``None`` where figures are exact."""
        return None if self._exact else largest_error(ranking, limit)


@dataclass(frozen=True)
class PixelBudget:
    """Number of pixels of each category, and how many are kept exactly.

    Attributes:
        pixels: category -> pixels of all its maps.
        most: pixels that are kept one by one, at most; more are counted in bins.
    """

    pixels: Mapping[str, int]
    most: int

    def is_exact(self, category: str | None = None) -> bool:
        """Whether all pixels are kept: of a category, or by default of all categories together."""
        return (sum(self.pixels.values()) if category is None else self.pixels[category]) <= self.most

    def mode(self, pooled: bool) -> dict[str, Any]:
        """Describe for ``metrics.json`` how pixels are counted.

        Args:
            pooled: whether figures of all categories together are needed too.
        """
        exact = self.is_exact() if pooled else not self._in_bins
        return {
            "form": "exact" if exact else "histogram",
            "pixels": sum(self.pixels.values()),
            "bins": None if exact else BINS,
        }

    def statement(self, metrics: str, pooled: bool) -> str:
        """Say in one line how the pixels of ``metrics`` are counted."""
        million = f"{sum(self.pixels.values()) / 1e6:.1f} million pixels"
        binned = [f"{len(self._in_bins)} of {len(self.pixels)} categories"] if self._in_bins else []
        if pooled and not self.is_exact():
            binned.append("all together")
        if not binned:
            return f"{metrics}: exact, {million}"
        return (
            f"{metrics}: {million}, too many to keep for {' and '.join(binned)}: counted there in {BINS} "
            "bins; metrics.json states the largest error"
        )

    @property
    def _in_bins(self) -> list[str]:
        return [c for c in self.pixels if not self.is_exact(c)]


def count_pixels(records: Sequence[Record], canvas: Callable[[Size], Size] | None) -> PixelBudget:
    """Count the pixels of the maps of some pictures, from the headers of their files.

    Args:
        records: the pictures.
        canvas: size of a picture -> size of its map; ``None`` if a map has the size of its picture.
    """
    pixels: Counter[str] = Counter()
    for record in records:
        size = read_size(record.path)
        pixels[record.category] += math.prod(canvas(size) if canvas and all(size) else size)
    return PixelBudget(pixels, EXACT_PIXELS)
