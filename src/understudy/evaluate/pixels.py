"""Pixels of one category's test pictures, counted by kind of defect and ranked together as asked."""

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
    """Every picture is counted once, under its kind; rankings join the good ones with one kind or with all.

    Args:
        exact: see :class:`understudy.metrics.PixelTally`.
    """

    def __init__(self, exact: bool) -> None:
        self._exact = exact
        self._tallies: dict[str, PixelTally] = {}

    def add(self, kind: str, picture: Weighed) -> None:
        """Add one picture of a kind of defect, or of good ones."""
        if kind not in self._tallies:
            self._tallies[kind] = PixelTally(self._exact, sync_on_compute=False)
        self._tallies[kind].update(picture)

    @property
    def kinds(self) -> list[str]:
        """Kinds of defect that were added, sorted."""
        return sorted(self._tallies.keys() - {GOOD})

    def ranking(self, kind: str | None = None) -> Ranking | None:
        """Of the pixels of good pictures and of one kind of defect, or of all; ``None`` without defects."""
        kinds = self.kinds if kind is None else [kind]
        if not all(k in self._tallies for k in kinds) or not kinds:
            return None
        whole = PixelTally(self._exact, sync_on_compute=False)
        for name in [GOOD, *kinds]:
            if name in self._tallies:
                whole.merge_state(self._tallies[name])
        return whole.compute()

    def error(self, ranking: Ranking, limit: float) -> dict[str, float] | None:
        """How far figures of a ranking are from exact at most; ``None`` where they are exact."""
        return None if self._exact else largest_error(ranking, limit)


@dataclass(frozen=True)
class PixelBudget:
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


def count_pixels(records: Sequence[Record], canvas: Callable[[Size], Size] | None) -> PixelBudget:
    """Count the pixels of maps of some pictures, whose sizes the files' headers say.

    Args:
        records: the pictures.
        canvas: a picture's size -> its map's; ``None`` for maps of the pictures' own size.
    """
    pixels: Counter[str] = Counter()
    for record in records:
        size = read_size(record.path)
        pixels[record.category] += math.prod(canvas(size) if canvas and all(size) else size)
    return PixelBudget(pixels, EXACT_PIXELS)
