"""Who is told how a run gets on; and a stopwatch's parts add up to the whole, other threads' told apart."""

from __future__ import annotations

import io
from collections.abc import Iterator
from threading import Thread

import pytest

from understudy.progress import Reporter, Stopwatch, reporting, untimed


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


def work(reporter: Reporter) -> None:
    """What a long job tells."""
    reporter.say("10 [good] pictures")
    for step in range(1, 11):
        reporter.advance("train", step, 10, f"loss {1 / step:.2f}")


def test_a_terminal_shows_a_bar_for_each_task_and_the_lines_above_it(
    terminal: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with reporting() as reporter:
        work(reporter)
        reporter.advance("calibrate", 3, 4, "")
    shown = terminal.getvalue()
    assert "10 [good] pictures\n" in shown
    assert "━━━" in shown
    last = shown.removesuffix("\x1b[?25h").splitlines()[-2:]
    assert ["train" in last[0], "10/10" in last[0], "loss 0.10" in last[0]] == [True] * 3
    assert ["calibrate" in last[1], "3/4" in last[1]] == [True] * 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("plain_lines", [True, False])
def test_false_shows_nothing_in_a_terminal_or_elsewhere(
    plain_lines: bool, terminal: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with reporting(False, plain_lines=plain_lines) as reporter:
        work(reporter)
    assert terminal.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_true_shows_nothing_where_there_is_neither_a_terminal_nor_a_notebook(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with reporting(True) as reporter:
        work(reporter)
    assert capfd.readouterr() == ("", "")


def test_plain_lines_go_to_stderr_for_every_fifth_of_a_task_where_they_are_asked_for(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with reporting(True, plain_lines=True) as reporter:
        work(reporter)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "10 [good] pictures",
        "train 2/10  loss 0.50",
        "train 4/10  loss 0.25",
        "train 6/10  loss 0.17",
        "train 8/10  loss 0.12",
        "train 10/10  loss 0.10",
    ]


def test_a_task_that_comes_again_is_told_again(capfd: pytest.CaptureFixture[str]) -> None:
    with reporting(True, plain_lines=True) as reporter:
        for _ in range(2):
            reporter.advance("decode", 1, 1, "")
    assert capfd.readouterr().err.splitlines() == ["decode 1/1"] * 2


def test_a_reporter_takes_all_that_is_told_and_nothing_is_shown(
    terminal: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    steps: list[tuple[str, int, int, str]] = []
    mine = Reporter(said.append, lambda *told: steps.append(told))
    with reporting(mine, plain_lines=True) as reporter:
        assert reporter is mine
        work(reporter)
    assert said == ["10 [good] pictures"]
    assert [step[:3] for step in steps] == [("train", n, 10) for n in range(1, 11)]
    assert steps[-1][3] == "loss 0.10"
    assert terminal.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_a_reporter_of_nothing_keeps_what_it_is_told_to_itself(capfd: pytest.CaptureFixture[str]) -> None:
    work(Reporter())
    assert capfd.readouterr() == ("", "")


def test_the_bar_ends_where_the_work_fails(terminal: io.StringIO) -> None:
    def fail() -> None:
        with reporting() as reporter:
            reporter.advance("train", 1, 10, "")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert "1/10" in terminal.getvalue()
    assert terminal.getvalue().rstrip(" \n").endswith("\x1b[?25h")  # the cursor is there again
