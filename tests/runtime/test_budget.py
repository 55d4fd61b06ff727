"""Threads that decode share one budget; what does not fit in memory is refused by name."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy import PictureError
from understudy.runtime import budget as module
from understudy.runtime.budget import DecodingBudget, free_memory, left_in_container

HERE, SIZE = Path("a.png"), (10, 20)


def test_never_more_than_the_limit_is_held_and_everyone_gets_a_turn() -> None:
    budget, lock = DecodingBudget(10), threading.Lock()
    held, most, done = 0, 0, []

    def work(need: int) -> None:
        nonlocal held, most
        with budget.hold(need, HERE, SIZE):
            with lock:
                held += need
                most = max(most, held)
            time.sleep(0.001)
            with lock:
                held -= need
                done.append(need)

    needs = [1, 4, 7, 2, 10, 3, 5, 9] * 5
    threads = [threading.Thread(target=work, args=(need,)) for need in needs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(done) == sorted(needs)
    assert 0 < most <= 10


def test_a_picture_larger_than_the_budget_is_decoded_alone_if_memory_allows() -> None:
    budget, order = DecodingBudget(10, free=lambda: 1000), []

    def large() -> None:
        with budget.hold(500, HERE, SIZE):
            order.append("large")

    with budget.hold(1, HERE, SIZE):
        thread = threading.Thread(target=large)
        thread.start()
        time.sleep(0.05)
        order.append("small")
    thread.join(timeout=20)
    assert order == ["small", "large"]


def test_a_picture_larger_than_the_budget_and_the_free_memory_is_refused_by_name() -> None:
    budget = DecodingBudget(10, free=lambda: 4_000_000)
    said = (
        r"a\.png is 20x10 and needs 5 MB to be decoded, which is more memory than is free; free some or cut"
    )
    with pytest.raises(PictureError, match=said), budget.hold(5_000_000, HERE, SIZE):
        pytest.fail("admitted")
    with budget.hold(10, HERE, SIZE):  # nothing is left behind
        pass


def test_an_error_in_the_block_gives_its_share_back() -> None:
    budget = DecodingBudget(10)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.hold(10, HERE, SIZE):
            raise ZeroDivisionError


def test_free_memory_is_known_here_and_does_not_exceed_the_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 < free_memory() < math.inf
    for name, text in (
        ("memory.max", "1000"),
        ("memory.current", "900"),
        ("memory.stat", "anon 1\ninactive_file 300\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "_CGROUP", tmp_path)
    assert left_in_container() == free_memory() == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert left_in_container() == math.inf
    monkeypatch.setattr(module, "_MEMINFO", tmp_path / "gone")
    assert free_memory() == math.inf


@pytest.fixture
def held() -> Iterator[None]:
    with module.BUDGET.hold(module.BUDGET.limit, HERE, SIZE):
        yield


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have(held: None) -> None:
    child = os.fork()
    if not child:
        with module.BUDGET.hold(module.BUDGET.limit, HERE, SIZE):
            os._exit(0)
    for _ in range(200):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            return
        time.sleep(0.05)
    os.kill(child, 9)
    pytest.fail("the child waits")
