"""Calls with the same id go one after the other, and never wait for calls with another one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Turns"]


class Turns:
    """One lock for each id that is in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, id: str | None) -> Iterator[None]:
        """Wait until no other call with the id is in the block; ``None`` never waits."""
        if id is None:
            yield
            return
        with self._lock:
            turn, users = self._used.get(id, (threading.Lock(), 0))
            self._used[id] = turn, users + 1
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, users = self._used[id]
                if users == 1:
                    del self._used[id]
                else:
                    self._used[id] = turn, users - 1
