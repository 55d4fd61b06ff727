"""Work that may hang, such as a call of a database that does not answer, and how long to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["within"]

_Value = TypeVar("_Value")


def within(seconds: float, work: Callable[[], _Value]) -> _Value:
    """Do some work in a thread, and wait for it; work that hangs is left behind and holds nobody up.

    Args:
        seconds: longest time to wait.
        work: what to do.

    Raises:
        TimeoutError: it took longer.
    """
    done: Future[_Value] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="patience", daemon=True).start()
    return done.result(seconds)
