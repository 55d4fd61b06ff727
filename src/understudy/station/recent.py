"""The last pictures, in memory: the page can show a PASS that is not kept, right after it was judged."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from understudy.runtime.heatmap import overlay_png
from understudy.station.engine import JudgedPicture

__all__ = ["Recent", "heatmap_of"]

MOST, BYTES = 24, 64 * 2**20


@dataclass(frozen=True)
class _Seen:
    data: bytes
    judged: JudgedPicture

    @property
    def size(self) -> int:
        return len(self.data) + self.judged.result.anomaly_map.nbytes


class Recent:
    """Holds the last pictures within a budget of memory; safe for several threads."""

    def __init__(self, most: int = MOST, budget: int = BYTES) -> None:
        self._most, self._budget = most, budget
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, id: str, data: bytes, judged: JudgedPicture) -> None:
        """Take a picture in; the oldest ones go."""
        with self._lock:
            self._seen[id] = _Seen(data, judged)
            total = sum(seen.size for seen in self._seen.values())
            while self._seen and (len(self._seen) > self._most or total > self._budget):
                total -= self._seen.popitem(last=False)[1].size

    def __contains__(self, id: str) -> bool:
        return id in self._seen

    def picture(self, id: str) -> bytes | None:
        """Return the file of a picture; ``None`` if it is no longer there."""
        seen = self._seen.get(id)
        return seen.data if seen else None

    def heatmap(self, id: str) -> bytes | None:
        """Return the heat map of a picture as PNG; ``None`` if it is no longer there."""
        seen = self._seen.get(id)
        return heatmap_of(seen.judged) if seen else None


def heatmap_of(judged: JudgedPicture) -> bytes:
    """Return an anomaly map in colour, with transparency, as PNG; laid over the picture it is a heat map."""
    result = judged.result
    low, high = judged.loaded.inspector.colour_span(result.category, [float(result.anomaly_map.max())])
    return overlay_png(result.anomaly_map, low, high)
