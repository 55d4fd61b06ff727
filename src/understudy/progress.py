"""Progress reports and timing of a run. Imports nothing heavy."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

__all__ = ["Advance", "Lap", "Progress", "Reporter", "Stopwatch", "ignore_progress", "reporting", "untimed"]

Advance = Callable[[str, int, int, str], None]
"""Progress callback. Arguments: task, number of items done, number of items in all, note."""


def ignore_progress(what: str, done: int, total: int, note: str) -> None:
    """Ignore progress; the default :data:`Advance`."""


@dataclass(frozen=True)
class Reporter:
    """Two callbacks through which a run reports its progress.

    Attributes:
        say: takes one line of text.
        advance: takes progress; see :data:`Advance`.
    """

    say: Callable[[str], None] = lambda line: None
    advance: Advance = ignore_progress


Progress = bool | Reporter
"""``True`` shows a bar in a terminal or notebook; ``False`` shows nothing; a Reporter gets every report."""


@contextmanager
def reporting(progress: Progress = True, *, plain_lines: bool = False) -> Iterator[Reporter]:
    """Yield the reporter for a ``progress`` argument.

    Args:
        progress: see :data:`Progress`.
        plain_lines: print plain lines to stderr where there is no terminal and no notebook, as in a log file;
            else nothing is shown there.
    """
    if isinstance(progress, Reporter):
        yield progress
        return
    if not progress:
        yield Reporter()
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not (console.is_terminal or console.is_jupyter):
        lines = _PlainLines()
        yield Reporter(lines.say, lines.advance) if plain_lines else Reporter()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console) as bars:
        tasks = {}

        def advance(what: str, done: int, total: int, note: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, note=note)
            bars.update(tasks[what], completed=done, total=total, note=note)

        yield Reporter(lambda line: console.print(line, markup=False), advance)


class _PlainLines:
    """Prints a line each time another fifth of a task is done."""

    _LINES = 5  # at most, per task

    def __init__(self) -> None:
        self._printed: dict[str, int] = {}

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int, note: str) -> None:
        part = done * self._LINES // max(total, 1)
        if part > self._printed.get(what, 0):
            self.say(f"{what} {done}/{total}{'  ' + note if note else ''}")
        self._printed[what] = part if done < total else 0


Lap = Callable[[str, int], AbstractContextManager[None]]
"""Times a ``with`` block. Arguments: name of the part, number of pictures (0 for the run as a whole)."""

_NOTHING = nullcontext()


def untimed(part: str, pictures: int) -> AbstractContextManager[None]:
    """Time nothing; the default :data:`Lap`."""
    return _NOTHING


class _Timed(NamedTuple):
    """One lap: its duration, its number of pictures, and whether another thread ran it."""

    seconds: float
    pictures: int
    is_beside: bool


class Stopwatch:
    """Times the parts of a run, from its creation on; lists the work of other threads apart.

    Args:
        clock: returns a time in seconds.

    Attributes:
        synchronize: waits until the device has finished; called at the end of each lap.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.synchronize: Callable[[], None] = lambda: None
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
                self.synchronize()
            timed = _Timed(self._clock() - began, pictures, is_beside)
            self._laps.setdefault(part, []).append(timed)

    def report(self) -> list[str]:
        """Return a table, line by line: one line per part, then the rest and the sum."""
        whole = self._clock() - self._began
        lines = [f"{'part':<14}{'total':>12}{'share':>8}{'a picture (median)':>22}"]
        accounted = 0.0
        for part, laps in self._laps.items():
            total = sum(lap.seconds for lap in laps)
            beside = any(lap.is_beside for lap in laps)
            accounted += 0 if beside else total
            each = [lap.seconds / lap.pictures for lap in laps if lap.pictures]
            share = "beside" if beside else f"{total / whole:.0%}"
            typical = f"{1000 * median(each):.1f} ms" if each else ""
            lines.append(f"{part:<14}{1000 * total:>9.1f} ms{share:>8}{typical:>22}".rstrip())
        lines.append(f"{'other':<14}{1000 * (whole - accounted):>9.1f} ms{(whole - accounted) / whole:>8.0%}")
        lines.append(f"{'whole':<14}{1000 * whole:>9.1f} ms")
        if any(lap.is_beside for laps in self._laps.values() for lap in laps):
            lines.append("beside: on other threads, while the rest goes on")
        return lines
