"""Memory for decoding: how much is free, and one budget for all threads of a process."""

from __future__ import annotations

import ctypes
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition

from understudy.errors import PictureError

__all__ = [
    "BUDGET",
    "DECODING_BYTES",
    "DecodingBudget",
    "free_memory",
    "left_in_container",
    "short_of_memory",
]

DECODING_BYTES = 768 * 2**20  # of all pictures that are being decoded at a time

_LARGE = 64 * 2**20  # bytes of a picture after which freed memory is given back

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")


def free_memory() -> float:
    """Return the number of bytes that this process can still use; infinite where the system does not tell."""
    try:
        lines = _MEMINFO.read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return left_in_container()
    return min(available, left_in_container())


def left_in_container() -> float:
    """Return the bytes that a control group (version 2) leaves; infinite without a limit.

    Cached files count as free, because the system gives them up when memory is short.
    """
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no control group, or no limit (the word "max")
        return math.inf
    return max(0, limit - used + _cached_files())


def _cached_files() -> int:
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, StopIteration):
        return 0


def short_of_memory(path: Path, size: tuple[int, int], need: int) -> PictureError:
    """Return the error for a picture that the memory does not hold.

    Args:
        path: name of the picture.
        size: its (height, width) in pixels.
        need: bytes that decoding it takes.
    """
    return PictureError(
        path,
        f"is {size[1]}x{size[0]} and needs {need / 1e6:.0f} MB to be decoded, which is more memory than is "
        "free; free some or cut the picture into several files",
    )


class DecodingBudget:
    """Memory that all threads share for the pictures they are decoding.

    A picture waits until its bytes fit. Pictures are admitted in the order in which they ask, so small ones
    do not pass a large one for ever. A picture larger than the whole budget is decoded alone, if that much
    memory is free.

    Args:
        limit: bytes of all pictures that are being decoded.
        free: returns the bytes that are free.
    """

    def __init__(self, limit: int = DECODING_BYTES, free: Callable[[], float] = free_memory) -> None:
        self.limit = limit
        self._free = free
        self.reset()

    def reset(self) -> None:
        """Forget all that is held; a forked process calls it, in which the other threads do not exist."""
        self._held = 0
        self._queue: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def hold(self, need: int, path: Path, size: tuple[int, int]) -> Iterator[None]:
        """Wait for room and keep it during the ``with`` block. A thread must not hold twice at a time.

        Args:
            need: bytes that decoding the picture takes.
            path: name of the picture, for errors.
            size: its (height, width) in pixels, for errors.

        Raises:
            PictureError: the picture exceeds the whole budget and the memory that is free.
        """
        me = object()
        with self._changed:
            self._queue.append(me)
            try:
                self._changed.wait_for(lambda: self._queue[0] is me and self._fits(need))
                if need > self.limit and need > self._free():
                    raise short_of_memory(path, size, need)
                self._held += need
            finally:
                self._queue.remove(me)
                self._changed.notify_all()
        try:
            yield
        finally:
            if need > _LARGE:
                _give_back()
            with self._changed:
                self._held -= need
                self._changed.notify_all()

    def _fits(self, need: int) -> bool:
        return not self._held or self._held + need <= self.limit


def _give_back() -> None:
    """Return freed memory to the system. glibc keeps for each thread as much as it ever needed."""
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


BUDGET = DecodingBudget()
"""The budget of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=BUDGET.reset)
