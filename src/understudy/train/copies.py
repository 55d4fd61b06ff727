"""Copies of this process that train together, on processors; everything but their work stays in this one."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, start_processes

from understudy.errors import InputError, UnderstudyError, WorkError
from understudy.progress import Advance
from understudy.train.processes import Group, meeting, portable

__all__ = ["in_copies", "packed", "unpacked"]

_LAST_WORDS = 2.0  # seconds that processes have to say why they stopped, once one of them has
_Value = TypeVar("_Value")


def in_copies(count: int, work: Callable[[Group, Advance], _Value], advance: Advance) -> _Value:
    """Do work in copies of this process that have met, on processors; return what the first one returns.

    Each copy takes its share of the threads.

    Args:
        count: number of copies.
        work: takes the group, and where to report progress; its value must be one that can be pickled.
        advance: takes the progress of the first copy, in this process.

    Raises:
        UnderstudyError: a copy raised it.
        WorkError: a copy was killed.
    """
    pipes = [Pipe(duplex=False) for _ in range(count)]
    threads = max(1, torch.get_num_threads() // count)
    with tempfile.TemporaryDirectory(prefix="understudy-") as place:
        arguments = (count, threads, Path(place) / "met", [send for _, send in pipes], work)
        context: ProcessContext = start_processes(  # type: ignore[no-untyped-call]
            _copy, arguments, count, join=False, start_method="fork"
        )
        for _, send in pipes:
            send.close()
        try:
            result: _Value = _follow(context, [receive for receive, _ in pipes], advance)
            return result
        finally:
            for process in context.processes:
                process.kill()
                process.join()
            for receive, _ in pipes:
                receive.close()


def _copy(
    rank: int, count: int, threads: int, place: Path, pipes: list[Connection], work: Callable[..., Any]
) -> None:
    """Be one copy: meet the others, work, and send what came of it."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Lightning sets it where it is missing
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

    def work_and_send() -> None:
        torch.set_num_threads(threads)
        pipe = pipes[rank]

        def tell(*progress: object) -> None:
            if rank == 0:
                pipe.send(("progress", progress))

        try:
            with meeting(rank, count, rank, count, torch.device("cpu"), f"file://{place}") as group:
                pipe.send(("result", work(group, tell)))
        except BaseException as error:  # whatever it was, the user's process tells it
            pipe.send(("error", portable(error)))

    # The threads that computed in the parent are not in its copy; a new thread starts its own.
    thread = threading.Thread(target=work_and_send, daemon=True)
    thread.start()
    thread.join()


def _follow(context: ProcessContext, pipes: list[Connection], advance: Advance) -> Any:
    """Pass progress on until all copies have ended; return the result of the first one."""
    results: dict[int, Any] = {}
    errors: dict[int, BaseException] = {}
    until = float("inf")
    while len(results) + len(errors) < len(pipes) and time.monotonic() < until:
        waiting = [p for i, p in enumerate(pipes) if i not in results and i not in errors]
        for pipe in wait(waiting, timeout=0.5):
            assert isinstance(pipe, Connection)
            what, value = _received(pipe)
            if what == "progress":
                advance(*value)
            else:
                (results if what == "result" else errors)[pipes.index(pipe)] = value
        if errors:
            until = min(until, time.monotonic() + _LAST_WORDS)
    if errors:
        raise _worth_telling(list(errors.values()))
    with suppress(ProcessExitedException):  # all have sent their results
        context.join(timeout=_LAST_WORDS)
    return results[0]


def _received(pipe: Connection) -> tuple[str, Any]:
    """Return the next message of a copy; a copy that ended without a word was killed."""
    try:
        message: tuple[str, Any] = pipe.recv()
    except (EOFError, OSError):
        killed = "a process of the training was killed (too little memory?); go on with --resume"
        return "error", WorkError(killed)
    return message


def _worth_telling(errors: list[BaseException]) -> BaseException:
    """Choose the error that says why the others stopped too."""
    for kind in (KeyboardInterrupt, InputError, UnderstudyError):
        for error in errors:
            if isinstance(error, kind):
                return error
    return errors[0]


def packed(state: dict[str, Tensor]) -> bytes:
    """Return tensors as bytes, for a pipe."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, Tensor]:
    """Return the tensors that :func:`packed` took."""
    state: dict[str, Tensor] = torch.load(io.BytesIO(content), weights_only=True)
    return state
