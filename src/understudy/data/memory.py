"""How much memory decoded pictures may take, and how many processes decode those that do not fit."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

import psutil

from understudy.runtime.sources import usable_cores

__all__ = [
    "MEMORY_BUDGET",
    "available_memory",
    "budget_of",
    "bytes_each",
    "readable",
    "statement",
    "worker_count",
]

MEMORY_BUDGET = 4 * 2**30  # bytes: what ``auto`` takes at most

_MOST_WORKERS = 8
_CGROUP = Path("/sys/fs/cgroup")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt])(i?)b", re.IGNORECASE)


def budget_of(cache: str) -> int:
    """``auto``, ``off`` or a size such as ``512MB`` or ``2GiB`` -> bytes of pictures to keep at most.

    ``auto`` is half of the memory that is available now, and 4 GiB at most.

    Raises:
        ValueError: it is none of these.
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
    """Bytes that can be used now, in a container too."""
    return int(min(psutil.virtual_memory().available, _left_in_container()))


def _left_in_container() -> float:
    """Bytes that a control group leaves (version 2), which psutil does not see; infinite without a limit."""
    try:
        limit, used = ((_CGROUP / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # no control group, or no limit: the word max
        return math.inf


def worker_count(asked: int | None) -> int:
    """Processes that decode pictures: as many as asked for, or one a usable core and eight at most."""
    if asked is not None:
        return asked
    return min(_MOST_WORKERS, usable_cores())


def bytes_each(side: int, channels: int = 3) -> int:
    """Bytes of one (side, side, channels) window."""
    return side * side * channels


def statement(n: int, side: int, budget: int, workers: int, channels: int = 3) -> str:
    """One line on ``n`` pictures within a budget: kept in memory, or decoded anew by whom."""
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
    """Bytes -> two digits or more with a decimal unit."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{round(value, 1 if value < 10 else 0):g} {unit}"
