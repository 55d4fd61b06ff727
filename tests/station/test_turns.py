"""Calls with one id go one after the other; others do not wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from understudy.station.turns import Turns


def test_calls_with_one_id_never_overlap_and_nothing_is_left() -> None:
    turns, inside, most = Turns(), [0], [0]

    def call(_: int) -> None:
        with turns.of("a"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(400)))
    assert most == [1]
    assert turns._used == {}


def test_another_id_and_no_id_do_not_wait() -> None:
    turns, done = Turns(), threading.Event()

    def others() -> None:
        with turns.of("b"), turns.of(None):
            done.set()

    with turns.of("a"):
        thread = threading.Thread(target=others)
        thread.start()
        assert done.wait(30)
        thread.join()
