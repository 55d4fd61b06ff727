"""Waiting for what other threads do, never for ever; and a port that nobody uses."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

__all__ = ["free_port", "until"]


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.005)


def free_port() -> int:
    """Return a port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
