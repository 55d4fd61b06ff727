"""Processes that train together: who starts them, who writes, and what an error in one of them does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from understudy import InputError, Model, PictureError, WorkError, fit
from understudy.methods import Recipe
from understudy.progress import Advance, Reporter, ignore_progress
from understudy.train import processes
from understudy.train.copies import in_copies
from understudy.train.options import FitOptions, fit_options
from understudy.train.plan import plan_for
from understudy.train.processes import (
    ALONE,
    Group,
    is_first_process,
    join_group,
    meeting,
    run_command,
    was_told_by_first,
)

STARTED = {
    "TORCHELASTIC_RUN_ID": "a",
    "RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1",
}


def in_two(work: Callable[[Group, Advance], object], advance: Advance = ignore_progress) -> object:
    return in_copies(2, work, advance)


def meet(**options: object) -> Group:
    with join_group(fit_options(options)) as group:
        return group


@pytest.fixture
def torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STARTED.items():
        monkeypatch.setenv(name, value)


def test_only_the_first_process_works_and_reports_and_the_others_wait(tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []

    def work(group: Group, advance: Advance) -> tuple[bool, int, float]:
        group.first(lambda: (tmp_path / f"of {group.rank}").touch())
        seen = (tmp_path / "of 0").exists()
        advance("train", group.rank, 2, "")
        return seen, group.agree(group.rank), group.total(group.rank + 1)

    assert in_two(work, lambda *progress: told.append(progress)) == (True, 0, 3.0)
    assert [p.name for p in tmp_path.iterdir()] == ["of 0"]
    assert told == [("train", 0, 2, "")]


def test_the_error_of_the_first_process_is_that_of_all() -> None:
    def work(group: Group, advance: Advance) -> None:
        def fail() -> None:
            raise PictureError(Path("a.png"), "is broken")

        with pytest.raises(PictureError, match=r"a\.png is broken"):
            group.first(fail)
        group.first(fail)

    with pytest.raises(PictureError, match=r"^a.png is broken$") as caught:
        in_two(work)
    assert caught.value.path == Path("a.png")


def test_the_others_know_that_an_error_is_that_of_the_first() -> None:
    def work(group: Group, advance: Advance) -> float:
        def fail() -> None:
            raise PictureError(Path("a.png"), "is broken")

        with pytest.raises(PictureError) as caught:
            group.first(fail)
        return group.total(was_told_by_first(caught.value))

    assert in_two(work) == 1


def test_a_process_that_nobody_meets_says_so_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_MEETING", timedelta(seconds=1))
    with (
        pytest.raises(WorkError, match=r"process 0 of 2 did not meet the others within 0 minutes; look at"),
        meeting(0, 2, 0, 1, torch.device("cpu"), f"file://{tmp_path / 'place'}"),
    ):
        pass


def test_processes_wait_minutes_for_each_other_and_days_for_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waits: list[timedelta] = []
    monkeypatch.setattr(
        processes.distributed, "init_process_group", lambda *given, **named: waits.append(given[2])
    )
    monkeypatch.setattr(processes.distributed, "new_group", lambda backend, timeout: waits.append(timeout))
    monkeypatch.setattr(processes.distributed, "destroy_process_group", lambda: None)
    with meeting(0, 2, 0, 1, torch.device("cpu"), "env://"):
        pass
    assert waits == [timedelta(minutes=10), timedelta(days=7)]


def test_one_device_is_alone() -> None:
    assert meet() is ALONE
    assert is_first_process(fit_options({}))


@pytest.mark.usefixtures("torchrun")
def test_processes_and_options_must_agree() -> None:
    with pytest.raises(InputError, match="torchrun started 4 processes, and this training has one"):
        meet(device="cpu")
    with pytest.raises(InputError, match="torchrun started 4 processes, and --devices 3 --nodes 1 makes 3"):
        meet(device="cpu", devices=3)
    assert not is_first_process(fit_options({"devices": 2, "nodes": 2}))


@pytest.mark.parametrize("options", [{"devices": 2, "nodes": 2}, {"devices": 2, "strategy": "ddp"}])
def test_what_cannot_be_started_from_here_names_the_command(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"torchrun .*--nproc-per-node 2 -m understudy fit"):
        meet(device="cpu", **options)


def test_more_gpus_than_there_are_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="--devices 3 asks for more GPUs than there are; this machine has 2"):
        meet(device="cuda", devices=3)
    with pytest.raises(InputError, match="--nproc-per-node 2"):
        meet(device="cuda", devices=2)


def test_a_batch_that_cannot_be_shared_equally_is_refused_with_one_that_can() -> None:
    asked = fit_options({"devices": 3, "device": "cpu", "precision": "32"})
    with pytest.raises(InputError, match=r"3 processes cannot share a batch of 8 pictures.*--batch-size 6"):
        plan_for(asked, Recipe(batch_size=8), 100, 1, ())
    assert plan_for(asked, Recipe(batch_size=9), 100, 1, ()).processes == 3


def test_slurm_says_who_a_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_JOB_NAME": "fit"}
    given["SLURM_NTASKS_PER_NODE"] = "2"
    for name, value in (given | {"SLURM_NODEID": "1", "SLURM_NODELIST": "a[1-2]"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLURM_JOB_ID", "12345")
    with pytest.raises(InputError, match="SLURM started 4 processes, and --devices 2 --nodes 1 makes 2"):
        meet(device="cpu", devices=2)
    assert not is_first_process(fit_options({"devices": 2, "nodes": 2}))
    assert meet(device="cpu") is ALONE  # a job of several trainings, each by itself


def test_a_command_needs_no_torchrun_for_one_device_or_for_processors() -> None:
    for options in ({}, {"devices": 2}, {"devices": 2, "nodes": 2, "strategy": "ddp"}):
        assert run_command(FitOptions.model_validate({"device": "cpu"} | options), []) is None


QUICK = {"image_size": 64, "batch_size": 8, "precision": "32", "device": "cpu", "strides": (8, 16)}


def test_fit_trains_on_two_processes_and_finds_what_one_finds(factory: Path, tmp_path: Path) -> None:
    one = fit(factory, tmp_path / "one", progress=False, max_steps=30, **QUICK)
    said: list[str] = []
    two = fit(factory, tmp_path / "two", progress=Reporter(said.append), max_steps=30, devices=2, **QUICK)
    assert any("cpu, 2 processes, 32" in line for line in said)
    assert two.thresholds is not None
    assert not (tmp_path / "two" / ".understudy-training").exists()
    found = [model.evaluate(factory, progress=False).metrics["mean"]["image_auroc"] for model in (one, two)]
    others = fit(factory, tmp_path / "other", progress=False, max_steps=30, **QUICK, seed=1)
    range_of_seeds = abs(others.evaluate(factory, progress=False).metrics["mean"]["image_auroc"] - found[0])
    assert abs(found[0] - found[1]) <= max(range_of_seeds, 0.1)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    typed = [sys.executable, "-m", "understudy", "fit", *arguments]
    return subprocess.run(typed, capture_output=True, text=True, timeout=110, env=environment, check=False)


def test_torchrun_trains_one_model_of_which_one_process_tells(factory: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "model", tmp_path / "features"
    options = ["--image-size", "64", "--strides", "8,16", "--batch-size", "8", "--precision", "32"]
    options += ["--max-steps", "12", "--devices", "2", "--strategy", "ddp", "--device", "cpu"]
    typed = (str(factory), "--out", str(out), *options)
    tracked = ["--logger", "csv", "--logger-to", str(tmp_path / "runs")]
    done = command(*typed, "--cache-features", str(cache), *tracked)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trained in") == 1
    assert done.stderr.count("good pictures to learn from") == 1
    model = Model.load(out, "cpu")
    assert model.calibration is not None
    assert len([*(tmp_path / "runs").rglob("metrics.csv")]) == 1
    assert len((out / "training.jsonl").read_text().splitlines()) == 2  # steps 10 and 12


@pytest.mark.parametrize(("exitcode", "code"), [(2, 2), (1, 1), (-9, 1)])
def test_a_command_that_torchrun_runs_ends_with_the_code_of_the_first_failure(
    exitcode: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failure = ProcessFailure(0, 1, exitcode, str(tmp_path / "no file"))
    ran: list[list[str]] = []

    def fail(arguments: list[str]) -> None:
        ran.append(arguments)
        raise ChildFailedError("fit", {0: failure})

    monkeypatch.setattr("torch.distributed.run.main", fail)
    asked = fit_options({"device": "cpu", "devices": 2, "strategy": "ddp"})
    assert run_command(asked, ["fit", "data"]) == code
    assert ran == [["--standalone", "--nproc-per-node", "2", "-m", "understudy", "fit", "data"]]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_torchrun_runs_and_a_signal_ends_has_the_code_of_the_signal(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(arguments: list[str]) -> None:
        raise SignalException("got a signal", number)

    monkeypatch.setattr("torch.distributed.run.main", stop)
    assert (
        run_command(fit_options({"device": "cpu", "devices": 2, "strategy": "ddp"}), ["fit", "data"]) == code
    )
