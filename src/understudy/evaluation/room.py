"""Whether pixels can be kept one by one or have to be counted in bins; told before the first is scored."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.data.records import Record
from understudy.metrics import BINS, EXACT_PIXELS
from understudy.runtime.images import Size, read_size

__all__ = ["Room", "room_for"]


@dataclass(frozen=True)
class Room:
    """Numbers of pixels of each category, against the most that are kept."""

    pixels: Mapping[str, int]
    most: int

    def is_exact(self, category: str | None = None) -> bool:
        """Whether all pixels of a category, or of all categories together, are kept."""
        return (sum(self.pixels.values()) if category is None else self.pixels[category]) <= self.most

    def mode(self, pooled: bool) -> dict[str, Any]:
        """For ``metrics.json``: form ``exact`` or ``histogram``, of all pixels or of any category."""
        exact = self.is_exact() if pooled else not self._in_bins
        return {
            "form": "exact" if exact else "histogram",
            "pixels": sum(self.pixels.values()),
            "bins": None if exact else BINS,
        }

    def statement(self, metrics: str, pooled: bool) -> str:
        """One line on how ``metrics`` are counted."""
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


def room_for(records: Sequence[Record], canvas: Callable[[Size], Size] | None) -> Room:
    """Count the pixels of maps of some pictures, whose sizes the files' headers say.

    Args:
        records: the pictures.
        canvas: a picture's size -> its map's; ``None`` for maps of the pictures' own size.
    """
    pixels: Counter[str] = Counter()
    for record in records:
        size = read_size(record.path)
        pixels[record.category] += math.prod(canvas(size) if canvas and all(size) else size)
    return Room(pixels, EXACT_PIXELS)
