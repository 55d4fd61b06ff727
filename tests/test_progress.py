"""A stopwatch's parts add up to the whole; what other threads do is told apart."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from understudy.progress import Stopwatch, untimed


@pytest.fixture
def now() -> list[float]:
    return [100.0]


@pytest.fixture
def watch(now: list[float]) -> Stopwatch:
    return Stopwatch(lambda: now[0])


def spend(watch: Stopwatch, now: list[float], part: str, seconds: float, pictures: int) -> None:
    with watch.lap(part, pictures):
        now[0] += seconds


def cells(watch: Stopwatch) -> Iterator[list[str]]:
    return (line.split() for line in watch.report()[1:])


def test_parts_add_up_and_a_pictures_time_is_the_median_of_its_laps(
    watch: Stopwatch, now: list[float]
) -> None:
    spend(watch, now, "load", 2.0, 0)
    for seconds, pictures in ((0.9, 1), (0.4, 4), (0.3, 2)):
        spend(watch, now, "teacher", seconds, pictures)
    now[0] += 0.4
    assert list(cells(watch)) == [
        ["load", "2000.0", "ms", "50%"],
        ["teacher", "1600.0", "ms", "40%", "150.0", "ms"],
        ["other", "400.0", "ms", "10%"],
        ["whole", "4000.0", "ms"],
    ]


def test_what_other_threads_do_takes_nothing_from_the_rest(watch: Stopwatch, now: list[float]) -> None:
    thread = Thread(target=spend, args=(watch, now, "decode", 1.0, 1))
    thread.start()
    thread.join()
    spend(watch, now, "teacher", 3.0, 1)
    found = list(cells(watch))
    assert found[0] == ["decode", "1000.0", "ms", "beside", "1000.0", "ms"]
    assert found[2] == ["other", "1000.0", "ms", "25%"]
    assert found[-1][0] == "beside:"


def test_a_lap_ends_when_the_device_has_done_its_work(watch: Stopwatch, now: list[float]) -> None:
    def wait() -> None:
        now[0] += 1.0

    watch.synchronize = wait
    spend(watch, now, "student", 1.0, 1)
    assert next(cells(watch))[:2] == ["student", "2000.0"]


def test_a_part_that_fails_is_timed_all_the_same(watch: Stopwatch, now: list[float]) -> None:
    def fail() -> None:
        now[0] += 0.5
        raise OSError("full")

    with pytest.raises(OSError, match="full"), watch.lap("write", 1):
        fail()
    assert next(cells(watch))[:2] == ["write", "500.0"]


def test_nothing_is_made_for_a_run_that_is_not_timed() -> None:
    assert untimed("teacher", 8) is untimed("student", 1)
    with untimed("teacher", 8), untimed("student", 8):
        pass
