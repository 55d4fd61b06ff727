"""Pixels of one category's test pictures, counted by kind of defect and ranked together as asked."""

from __future__ import annotations

from understudy.data.records import GOOD
from understudy.metrics import PixelTally, Ranking, Weighed, largest_error

__all__ = ["PixelsByKind"]


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
