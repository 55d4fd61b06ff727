"""What several terms of a loss need of the same pair is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from understudy.types import Pair

__all__ = ["once", "shared"]

Found = TypeVar("Found")

_found: ContextVar[dict[Any, Any] | None] = ContextVar("found", default=None)


@contextmanager
def shared() -> Iterator[None]:
    """While it lasts, :func:`once` remembers; afterwards nothing is kept."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def once(function: Callable[..., Found], pair: Pair, *options: object) -> Found:
    """``function(pair, *options)``, which within :func:`shared` is computed for the first that asks."""
    found = _found.get()
    if found is None:
        return function(pair, *options)
    key = (function, id(pair), *options)
    if key not in found:
        found[key] = (pair, function(pair, *options))  # the pair is kept, and so its id stays its own
    return cast(Found, found[key][1])
