"""Memory that tensors gave back goes to the next ones, rather than to the system and back."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["disable_malloc_trim", "kept_memory", "restore_malloc"]

# Options of glibc's mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 * 2**20}
# What glibc comes to by itself once large tensors were freed.
_RETURN = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20, _TRIM_THRESHOLD: 64 * 2**20, _TOP_PAD: 128 * 2**10}

_lock = threading.RLock()  # a finaliser may run within it
_users = 0


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed memory within a block: :func:`disable_malloc_trim`, then :func:`restore_malloc`."""
    disable_malloc_trim()
    try:
        yield
    finally:
        restore_malloc()


def disable_malloc_trim() -> None:
    """Keep what is freed, until everyone who asked for it has called :func:`restore_malloc`.

    A tensor above 32 MiB otherwise has pages of its own, which the system takes away and clears anew each
    time. Writing it then takes at least six times as long (docs/decisions/0028). Processes that are forked
    meanwhile keep theirs too. Settings of malloc that somebody else made are not brought back. Does nothing
    without glibc.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_KEEP)


def restore_malloc() -> None:
    """Take one :func:`disable_malloc_trim` back; the last one gives the system what is free."""
    global _users
    with _lock:
        _users -= 1
        if not _users and _set(_RETURN):
            ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _set(options: dict[int, int]) -> bool:
    """Set options of glibc's malloc; say whether there is a glibc."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    for option, value in options.items():
        libc.mallopt(option, value)
    return True
