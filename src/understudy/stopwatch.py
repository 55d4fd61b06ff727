"""Where the time of a run goes, part by part. Imports nothing heavy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median
from typing import NamedTuple

__all__ = ["Lap", "Stopwatch", "untimed"]

Lap = Callable[[str, int], AbstractContextManager[None]]
"""Takes a part of the work and for how many pictures it is done, 0 for the run as a whole; times a block."""

_NOTHING = nullcontext()


def untimed(part: str, pictures: int) -> AbstractContextManager[None]:
    """Time nothing."""
    return _NOTHING


class _Timed(NamedTuple):
    seconds: float
    pictures: int
    is_beside: bool


class Stopwatch:
    """Times parts of a run from its creation on; what other threads do is told apart.

    Args:
        clock: seconds, from anywhere.

    Attributes:
        settle: waits until a device has done what it was given; called at the end of each lap.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.settle: Callable[[], None] = lambda: None
        self._clock, self._thread = clock, threading.get_ident()
        self._laps: dict[str, list[_Timed]] = {}
        self._began = clock()

    @contextmanager
    def lap(self, part: str, pictures: int) -> Iterator[None]:
        """Time a block; see :data:`Lap`."""
        is_beside = threading.get_ident() != self._thread
        began = self._clock()
        try:
            yield
        finally:
            if not is_beside:
                self.settle()
            timed = _Timed(self._clock() - began, pictures, is_beside)
            self._laps.setdefault(part, []).append(timed)

    def report(self) -> list[str]:
        """A line for each part in the order of their first ends, then the rest and the whole."""
        whole = self._clock() - self._began
        lines = [f"{'part':<14}{'total':>12}{'share':>8}{'a picture (median)':>22}"]
        own = 0.0
        for part, laps in self._laps.items():
            total = sum(lap.seconds for lap in laps)
            beside = any(lap.is_beside for lap in laps)
            own += 0 if beside else total
            each = [lap.seconds / lap.pictures for lap in laps if lap.pictures]
            share = "beside" if beside else f"{total / whole:.0%}"
            typical = f"{1000 * median(each):.1f} ms" if each else ""
            lines.append(f"{part:<14}{1000 * total:>9.1f} ms{share:>8}{typical:>22}".rstrip())
        lines.append(f"{'other':<14}{1000 * (whole - own):>9.1f} ms{(whole - own) / whole:>8.0%}")
        lines.append(f"{'whole':<14}{1000 * whole:>9.1f} ms")
        if any(lap.is_beside for laps in self._laps.values() for lap in laps):
            lines.append("beside: on other threads, while the rest goes on")
        return lines
