"""Jobs that are spread over processes share the cores, and one that fails loses no other's work."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from understudy.errors import InputError, WorkError
from understudy.lab.spread import spread, threads_each


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Functions that other processes import too."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return import_module("spread_jobs")


def test_every_job_is_done_elsewhere_with_its_share_of_the_cores(jobs: ModuleType) -> None:
    found = dict(spread(jobs.facts, [1, 2, 3], workers=2, threads=1))
    assert {job: value[0] for job, value in found.items()} == {1: 1, 2: 4, 3: 9}
    assert {value[1] for value in found.values()} == {1}
    assert os.getpid() not in {value[2] for value in found.values()}


@pytest.mark.parametrize(("workers", "cores", "each"), [(1, 8, 8), (2, 8, 4), (3, 8, 2), (16, 8, 1)])
def test_the_cores_are_shared_and_each_has_one_thread_at_least(workers: int, cores: int, each: int) -> None:
    assert threads_each(workers, cores) == each


def test_a_job_that_fails_lets_those_that_have_begun_finish_and_begins_no_other(jobs: ModuleType) -> None:
    done: list[int] = []

    def collect() -> None:
        done.extend(job for job, _ in spread(jobs.fail_at_one, [1, *range(2, 9)], workers=2, threads=1))

    with pytest.raises(InputError, match="picture 1 is broken"):
        collect()
    assert len(done) < 7


def test_a_process_that_is_killed_is_one_sentence(jobs: ModuleType) -> None:
    with pytest.raises(WorkError, match=r"a process was killed, .* fewer --workers"):
        list(spread(jobs.die, [0], workers=1, threads=1))


def test_no_job_is_no_work(jobs: ModuleType) -> None:
    assert list(spread(jobs.facts, [], workers=3)) == []
