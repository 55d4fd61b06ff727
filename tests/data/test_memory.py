"""What a cache may take, and what is said of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.data import memory
from understudy.data.memory import available_memory, budget_of, memory_statement, worker_count
from understudy.runtime import budget as budget_of_decoding

PICTURE = 256 * 256 * 3


class Told(NamedTuple):
    """What psutil tells of the machine's memory, in bytes."""

    available: int


@pytest.mark.parametrize(
    ("cache", "size"),
    [
        ("off", 0),
        ("0MB", 0),
        ("512MB", 512 * 10**6),
        ("2GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("1.1gb", 1_100_000_000),
        ("1.5 KiB", 1536),
        ("1TB", 10**12),
    ],
)
def test_a_size_is_a_number_with_a_decimal_or_binary_unit(cache: str, size: int) -> None:
    assert budget_of(cache) == size


@pytest.mark.parametrize("cache", ["", "2", "MB", "-2GB", "2GB of it", "nanGB", "1e3MB", "2PB", "on", "½GB"])
def test_anything_else_is_no_size(cache: str) -> None:
    with pytest.raises(ValueError, match="takes auto, off or a size such as 512MB, 2GB or 2GiB"):
        budget_of(cache)


@pytest.mark.parametrize(("free_kib", "budget"), [(1001, 512512), (2**23 - 2, 2**32 - 1024), (2**40, 2**32)])
def test_auto_is_half_of_the_available_memory_and_four_gib_at_most(
    free_kib: int, budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Told(free_kib * 1024))
    monkeypatch.setattr(budget_of_decoding, "_CGROUP", tmp_path)
    assert budget_of("auto") == budget


@pytest.mark.parametrize(("limit", "budget"), [("1000000\n", 300000), ("max\n", 2**32), ("300\n", 0)])
def test_a_containers_limit_is_kept(
    limit: str, budget: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: Told(2**50))
    monkeypatch.setattr(budget_of_decoding, "_CGROUP", tmp_path)
    assert budget_of("auto") == budget


def test_the_memory_that_is_available_here_is_more_than_nothing_and_less_than_all() -> None:
    assert 0 < available_memory() < memory.psutil.virtual_memory().total


def test_workers_are_as_many_as_asked_for_or_one_a_usable_core_up_to_eight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5}, raising=False)
    assert (worker_count(0), worker_count(12), worker_count(None)) == (0, 12, 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert worker_count(None) == 8


@pytest.mark.parametrize(
    ("n", "budget", "workers", "line"),
    [
        (270, 270 * PICTURE, 2, "270 pictures of 256x256 kept in memory (53 MB)"),
        (
            270,
            270 * PICTURE - 1,
            2,
            "270 pictures of 256x256, 53 MB, exceed the cache of 53 MB: "
            "269 kept in memory, the others decoded anew each time by 2 workers",
        ),
        (
            310000,
            1000,
            1,
            "310000 pictures of 256x256, 61 GB, exceed the cache of 1 kB: decoded anew each time by 1 worker",
        ),
        (5, 0, 2, "5 pictures of 256x256 (983 kB) not kept in memory: decoded anew each time by 2 workers"),
        (
            5,
            0,
            0,
            "5 pictures of 256x256 (983 kB) not kept in memory: decoded anew each time without workers",
        ),
    ],
)
def test_one_line_says_what_is_kept_and_who_decodes_the_rest(
    n: int, budget: int, workers: int, line: str
) -> None:
    assert memory_statement(n, 256, budget, workers) == line


@given(n=st.integers(1, 10**6), side=st.integers(32, 4096), budget=st.integers(0, 2**50))
@settings(deadline=None)
def test_all_is_kept_exactly_when_all_fits(n: int, side: int, budget: int) -> None:
    line = memory_statement(n, side, budget, 2)
    assert "\n" not in line
    assert line.startswith(f"{n} pictures of {side}x{side} kept in memory") == (n * side * side * 3 <= budget)
