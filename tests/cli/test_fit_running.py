"""``understudy fit`` at work: what it leaves, what it keeps, and how it is stopped."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy import WorkError
from understudy.cli import main

SMALL = [
    *("--image-size", "64", "--max-steps", "3", "--batch-size", "4", "--strides", "8,16"),
    *("--precision", "32", "--device", "cpu"),
]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_bare_folder_of_good_pictures_trains_a_model(data: Path, tmp_path: Path) -> None:
    good = data / "nut" / "train" / "good"
    assert run("fit", good, "--out", tmp_path / "m", "--method", "rd", "--holdout", 0, *SMALL) == 0
    assert not (tmp_path / "m" / "calibration.json").exists()
    assert run("predict", tmp_path / "m", good / "000.png") == 3  # scored, without a verdict


def test_no_network_and_no_file_ends_within_one_look(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, the_error: Callable[[], str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run("fit", factory, "--out", tmp_path / "m", "--teacher", "resnet18") == 2
    assert "give a file with --teacher-weights FILE" in the_error()


def test_a_broken_training_picture_is_named_before_training(
    data: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    (data / "nut" / "train" / "good" / "001.png").write_bytes(b"no picture")
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 2
    error = the_error()
    assert "nut/train/good/001.png" in error
    assert "replace or remove it" in error


def test_an_unfinished_training_is_neither_overwritten_nor_forgotten(
    data: Path, tmp_path: Path, the_error: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "m" / ".understudy-training" / "last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"precious")
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 2
    assert "go on with --resume, or --overwrite it" in the_error()
    assert checkpoint.read_bytes() == b"precious"
    assert run("fit", data, "--out", tmp_path / "m", "--overwrite", *SMALL) == 0
    assert run("fit", data, "--out", tmp_path / "m", "--resume", *SMALL) == 0
    assert "nothing to resume" in capsys.readouterr().err


def test_progress_is_plain_lines_where_there_is_no_terminal(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 0
    err = capsys.readouterr().err
    assert "train 3/3  loss" in err
    assert "\x1b[" not in err


def test_a_failed_overwrite_leaves_the_old_model_as_it_was(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    before = {p.name: p.read_bytes() for p in copy.iterdir()}
    assert run("fit", data, "--out", copy, "--overwrite", "--teacher-weights", tmp_path / "none", *SMALL) == 2
    (data / "nut" / "train" / "good" / "001.png").write_bytes(b"no picture")
    assert run("fit", data, "--out", copy, "--overwrite", *SMALL) == 2
    assert {p.name: p.read_bytes() for p in copy.iterdir()} == before


def test_a_fit_killed_before_its_calibration_is_calibrated_on_resume(
    data: Path, model_folder: Path, tmp_path: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    before = (copy / "calibration.json").read_bytes()
    uncalibrate(copy)
    assert run("fit", data, "--out", copy, "--resume", "--holdout", 0.34, "--false-alarm-rate", 0.15) == 0
    assert (copy / "calibration.json").read_bytes() == before


def test_a_rate_is_estimated_from_all_good_pictures_and_checked_on_those_held_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", data, "--out", tmp_path / "m", "--holdout", 0.34, *SMALL) == 0
    said = capsys.readouterr().err
    assert re.search(r"about 1 % of good pictures fail, as estimated from \d+ of them \(", said)
    assert "this is no promise; of 8 that the training never saw, " in said
    assert re.search(r"\w+ has the fewest good pictures, \d+: ", said)


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """As torchrun starts the second process on the second machine; returns options of that training."""
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    return ("--devices", 1, "--nodes", 2, "--device", "cpu")


def test_an_error_of_another_process_alone_is_said_by_that_process(
    second_of_two: tuple[object, ...], tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("fit", tmp_path / "not_mounted", "--out", tmp_path / "m", *second_of_two) == 2
    assert "not_mounted" in the_error()


@pytest.mark.parametrize("told", [True, False])
def test_the_error_of_the_first_process_is_said_by_that_alone(
    told: bool,
    second_of_two: tuple[object, ...],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failure: Any = WorkError("the disk is full")
    failure.told_by_first = told

    def fail(*args: object, **kwargs: object) -> None:
        raise failure

    monkeypatch.setattr("understudy.fit", fail)
    assert run("fit", data, "--out", tmp_path / "m", *second_of_two) == 1
    assert capsys.readouterr().err == ("" if told else "understudy: the disk is full\n")


def test_ctrl_c_is_answered_by_the_first_process_alone(
    second_of_two: tuple[object, ...],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("understudy.fit", stop)
    assert run("fit", data, "--out", tmp_path / "m", *second_of_two) == 130
    assert capsys.readouterr().err == ""


def test_ctrl_c_says_whether_there_is_something_to_go_on_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, the_error: Callable[[], str]
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("understudy.train.job.train", stop)
    assert run("fit", data, "--out", tmp_path / "m", *SMALL) == 130
    assert "stopped; there was no checkpoint yet" in the_error()
    checkpoint = tmp_path / "m" / ".understudy-training" / "last.ckpt"
    checkpoint.parent.mkdir(exist_ok=True)
    checkpoint.touch()
    assert run("fit", data, "--out", tmp_path / "m", "--resume", *SMALL) == 130
    assert "stopped; go on with --resume" in the_error()
