"""How much memory decoded pictures may take, and how many processes decode those that do not fit."""

from __future__ import annotations

import re
from fractions import Fraction

import psutil

from understudy.runtime.budget import left_in_container
from understudy.runtime.sources import usable_cores

__all__ = [
    "MEMORY_BUDGET",
    "available_memory",
    "budget_of",
    "bytes_each",
    "memory_statement",
    "readable",
    "worker_count",
]

MEMORY_BUDGET = 4 * 2**30  # bytes; the most that ``auto`` takes

_MOST_WORKERS = 8
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt])(i?)b", re.IGNORECASE)


def budget_of(cache: str) -> int:
    """``auto``, ``off`` or a size such as ``512MB`` or ``2GiB`` -> largest number of bytes to keep.

    ``auto`` is half of the memory that is available now, and 4 GiB at most.

    Raises:
        ValueError: the text is none of these.
    """
    if cache == "off":
        return 0
    if cache == "auto":
        return min(MEMORY_BUDGET, available_memory() // 2)
    size = _SIZE.fullmatch(cache.strip())
    if not size:
        raise ValueError("takes auto, off or a size such as 512MB, 2GB or 2GiB")
    number, letter, binary = size.groups()
    power = "kmgt".index(letter.lower()) + 1
    return int(Fraction(number) * (1024 if binary else 1000) ** power)


def available_memory() -> int:
    """Return the number of bytes that this process can use now, also in a container."""
    return int(min(psutil.virtual_memory().available, left_in_container()))


def worker_count(asked: int | None) -> int:
    """Return the number of processes that decode: as asked, or one per usable core and eight at most."""
    if asked is not None:
        return asked
    return min(_MOST_WORKERS, usable_cores())


def bytes_each(side: int, channels: int = 3) -> int:
    """Return the number of bytes of one (side, side, channels) uint8 window."""
    return side * side * channels


def memory_statement(n: int, side: int, budget: int, workers: int, channels: int = 3) -> str:
    """Return one line that says whether pictures are kept in memory, or who decodes them anew each time.

    Args:
        n: number of windows.
        side: side of a window in pixels.
        budget: bytes that may be kept.
        workers: number of processes that decode.
        channels: channels of a window.
    """
    each = bytes_each(side, channels)
    kept, size = min(n, budget // each), readable(n * each)
    if kept == n:
        return f"{n} pictures of {side}x{side} kept in memory ({size})"
    by = f"by {workers} worker{'s' if workers > 1 else ''}" if workers else "without workers"
    if not budget:
        return f"{n} pictures of {side}x{side} ({size}) not kept in memory: decoded anew each time {by}"
    others = f"{kept} kept in memory, the others " if kept else ""
    return (
        f"{n} pictures of {side}x{side}, {size}, exceed the cache of {readable(budget)}: "
        f"{others}decoded anew each time {by}"
    )


def readable(size: int) -> str:
    """Format a number of bytes with two digits or more and a decimal unit, such as ``1.5 MB``."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{round(value, 1 if value < 10 else 0):g} {unit}"
