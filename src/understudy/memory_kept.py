"""Memory that tensors gave back goes to the next ones, rather than to the system and back."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["memory_kept"]

# Options of glibc's mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 * 2**20}
_RETURN = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20, _TOP_PAD: 128 * 2**10}


class _MemoryKept:
    """The setting is the process' own, so of several users the first sets it and the last sets it back."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        libc = _glibc()
        if libc is None:
            yield
            return
        with self._lock:
            self._users += 1
            if self._users == 1:
                _set(libc, _KEEP)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    _set(libc, _RETURN)
                    libc.malloc_trim(0)


memory_kept = _MemoryKept()
"""While it lasts, this process keeps what is freed; afterwards it gives that back. Nothing without glibc.

A tensor above 32 MiB otherwise has pages of its own, which the system takes away and clears anew each time;
writing it then takes six times as long at least (docs/decisions/0028).
"""


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
