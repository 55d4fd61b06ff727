"""How a run says how it is getting on: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from understudy.reporter import Reporter

__all__ = ["reporting"]

_PLAIN_LINES = 5  # a task, at most


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Give a reporter that suits what stderr is."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        lines = _PlainLines()
        yield Reporter(lines.say, lines.advance)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console
    ) as bars:
        tasks = {}

        def advance(what: str, done: int, total: int, note: str) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, note=note)
            bars.update(tasks[what], completed=done, total=total, note=note)

        yield Reporter(lambda line: console.print(line, markup=False), advance)


class _PlainLines:
    """Prints a line whenever another fifth of a task is done."""

    def __init__(self) -> None:
        self._printed: dict[str, int] = {}

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def advance(self, what: str, done: int, total: int, note: str) -> None:
        part = done * _PLAIN_LINES // max(total, 1)
        if part > self._printed.get(what, 0):
            self.say(f"{what} {done}/{total}{'  ' + note if note else ''}")
        self._printed[what] = part if done < total else 0
