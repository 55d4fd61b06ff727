"""Where a run says how it is getting on. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Advance", "Reporter", "ignore_progress"]

Advance = Callable[[str, int, int, str], None]
"""Takes what is being done, how many are done, how many there are, and a note."""


def ignore_progress(what: str, done: int, total: int, note: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Reporter:
    """Where a run says how it is getting on.

    Attributes:
        say: takes a line.
        advance: takes progress.
    """

    say: Callable[[str], None] = lambda line: None
    advance: Advance = ignore_progress
