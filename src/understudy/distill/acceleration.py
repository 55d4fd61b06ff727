"""Lets a faster function take the place of a plain one that computes the same numbers.

The equations of the papers are written plainly in this package. :mod:`understudy.kernels` holds faster twins
of some of them. Without that package everything still works, only slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from torch import nn

from understudy.types import Pair

__all__ = [
    "accelerable",
    "cached_per_batch",
    "kept_memory",
    "one_batch",
    "plain_equations",
    "prepare_convolutions",
    "use_kernels",
]

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

_kernels: dict[str, Callable[..., Any]] = {}
_batch: ContextVar[dict[Any, Any] | None] = ContextVar("batch", default=None)


def accelerable(plain: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Mark a function that a kernel of the same signature may replace."""
    name = f"{plain.__module__}.{plain.__qualname__}"

    @wraps(plain)
    def chosen(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Value:
        function: Callable[Arguments, Value] = _kernels.get(name, plain)
        return function(*args, **kwargs)

    return chosen


def use_kernels(twins: Mapping[Callable[..., Any], Callable[..., Any]]) -> None:
    """From now on call the faster twin of each plain function.

    Args:
        twins: plain function -> kernel. The plain one must be marked by :func:`accelerable`.
    """
    _kernels.update({f"{plain.__module__}.{plain.__qualname__}": kernel for plain, kernel in twins.items()})


@contextmanager
def plain_equations() -> Iterator[None]:
    """Use no kernel within the block: for tests, and to find out whether a kernel is to blame."""
    before = dict(_kernels)
    _kernels.clear()
    try:
        yield
    finally:
        _kernels.update(before)


@contextmanager
def one_batch() -> Iterator[None]:
    """Within the block :func:`cached_per_batch` remembers; afterwards nothing is kept."""
    token = _batch.set({})
    try:
        yield
    finally:
        _batch.reset(token)


def cached_per_batch(function: Callable[..., Value], pair: Pair, *options: object) -> Value:
    """Compute ``function(pair, *options)`` once for all terms of a loss; see :func:`one_batch`."""
    known = _batch.get()
    if known is None:
        return function(pair, *options)
    key = (function, id(pair), *options)
    if key not in known:
        known[key] = (pair, function(pair, *options))  # the pair is kept, so its id stays its own
    return cast(Value, known[key][1])


@accelerable
def prepare_convolutions(network: nn.Module) -> None:
    """Get a network's convolutions ready for training; plainly, leave them as they are."""


@accelerable
def kept_memory() -> AbstractContextManager[None]:
    """Say what becomes of freed memory within a block; plainly, whatever the allocator does."""
    return nullcontext()
