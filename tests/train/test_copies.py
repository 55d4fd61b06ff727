"""Copies of a process: an error in one of them, a kill, their threads, and what crosses the pipe."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import torch

from understudy import InputError, WorkError
from understudy.progress import Advance, ignore_progress
from understudy.train.copies import in_copies, packed, unpacked
from understudy.train.processes import Group


def in_two(work: Callable[[Group, Advance], object], advance: Advance = ignore_progress) -> object:
    return in_copies(2, work, advance)


@pytest.mark.parametrize("error", [InputError("no"), WorkError("no"), KeyboardInterrupt()])
def test_an_error_in_one_process_ends_the_others_and_is_told(error: BaseException) -> None:
    def work(group: Group, advance: Advance) -> None:
        if not group.is_first:
            raise error
        group.total(1.0)  # waits for a process that is gone

    with pytest.raises(type(error)):
        in_two(work)


def test_a_bug_in_a_process_brings_its_traceback() -> None:
    def work(group: Group, advance: Advance) -> None:
        raise ZeroDivisionError("here")

    with pytest.raises(RuntimeError, match=r"(?s)in work.*ZeroDivisionError: here"):
        in_two(work)


def test_a_killed_process_is_one_sentence() -> None:
    def work(group: Group, advance: Advance) -> None:
        if group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        group.total(1.0)

    with pytest.raises(WorkError, match=r"a process of the training was killed.*--resume"):
        in_two(work)


def test_an_error_of_the_listener_ends_the_processes() -> None:
    pids: list[int] = []

    def listen(what: str, done: int, total: int, note: str) -> None:
        pids.append(done)
        raise WorkError("full")

    def work(group: Group, advance: Advance) -> None:
        advance("train", os.getpid(), 1, "")
        signal.pause() if group.size == 1 else group.total(1.0) and group.agree(0)

    with pytest.raises(WorkError, match="full"):
        in_two(work, listen)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_copies_share_the_threads_of_a_process_that_has_computed() -> None:
    def work(group: Group, advance: Advance) -> int:
        (torch.ones(600, 600, requires_grad=True) @ torch.ones(600, 600)).sum().backward()
        return torch.get_num_threads()

    torch.set_num_threads(4)
    try:
        (torch.ones(600, 600) @ torch.ones(600, 600)).sum()
        threads = in_two(work)
    finally:
        torch.set_num_threads(1)
    assert threads == 2


def test_tensors_cross_a_pipe() -> None:
    state = {"a": torch.arange(3), "b": torch.empty(0, 0)}
    back = unpacked(packed(state))
    assert list(back) == ["a", "b"]
    assert torch.equal(back["a"], state["a"])
