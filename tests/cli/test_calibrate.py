"""``understudy calibrate`` as a user meets it, for a trained model and for an exported one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy import load
from understudy.cli import main


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture(params=["trained", "exported"])
def folder(request: pytest.FixtureRequest, model_folder: Path, exported_copy: Path, tmp_path: Path) -> Path:
    """A model of either kind that may be changed."""
    trained = Path(shutil.copytree(model_folder, tmp_path / "trained"))
    return {"trained": trained, "exported": exported_copy}[request.param]


def test_thresholds_are_set_as_asked_and_what_they_promise_is_said(
    folder: Path, factory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = ("--false-alarm-rate", "20%", "--review-budget", 0.5, "--min-area", 9)
    assert run("calibrate", folder, factory, *rates) == 0
    found = json.loads((folder / "calibration.json").read_text())
    thresholds = found["thresholds"]
    assert (thresholds["false_alarm_rate"], thresholds["n_good"]) == (0.2, 8)
    assert thresholds["review_rate"] - 0.2 + found["distances"]["rate"] <= 0.5 + 0.5 / 8
    assert (thresholds["basis"], found["min_area"]) == ("promised", 9)
    out, err = capsys.readouterr()
    assert out == ""
    assert found["promise"] in err
    held = load(folder, "cpu").calibration
    assert held is not None
    assert held.model_dump(mode="json") == {k: v for k, v in found.items() if k in type(held).model_fields}


def test_a_calibration_that_is_damaged_or_gone_is_in_nobodys_way(folder: Path, factory: Path) -> None:
    whole = (folder / "calibration.json").read_bytes()
    for content in (b"{", None):
        (folder / "calibration.json").unlink()
        if content is not None:
            (folder / "calibration.json").write_bytes(content)
        assert run("calibrate", folder, factory, "--false-alarm-rate", 0.15) == 0
        made = json.loads((folder / "calibration.json").read_bytes())
        assert made["thresholds"]["n_good"] == 8
        assert made["thresholds"]["basis"] == "promised"
        assert json.loads(whole)["thresholds"]["basis"] == "estimated"


def test_what_cannot_be_promised_leaves_the_old_thresholds(
    folder: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    before = (folder / "calibration.json").read_bytes()
    assert run("calibrate", folder, factory, "--false-alarm-rate", 0.01) == 2
    assert "8 good pictures that the training has not seen are too few: 20 are the least" in the_error()
    assert run("calibrate", folder, factory, "--false-alarm-rate", 0.15, "--min-area", 5000) == 2
    assert "choose another --min-area" in the_error()
    assert (folder / "calibration.json").read_bytes() == before


def test_known_defects_say_what_each_rate_finds_and_a_broken_one_is_a_line(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "nut" / "test" / "chip" / "000.png").write_bytes(b"no picture")
    asked = ("calibrate", folder, data, "--false-alarm-rate", 0.15)
    assert run(*asked) == 0
    before, _ = (folder / "calibration.json").read_bytes(), capsys.readouterr()
    assert run(*asked, "--defects", data) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "of 11 defective pictures " in err
    assert f"left out of the defects: {data / 'nut' / 'test' / 'chip' / '000.png'}" in err
    assert (folder / "calibration.json").read_bytes() == before


def test_defects_that_are_not_there_leave_the_old_thresholds(
    folder: Path, factory: Path, the_error: Callable[[], str]
) -> None:
    before = (folder / "calibration.json").read_bytes()
    rates = ("--false-alarm-rate", 0.3)
    assert run("calibrate", folder, factory, *rates, "--defects", factory / "nothing") == 2
    assert "does not exist" in the_error()
    assert (folder / "calibration.json").read_bytes() == before
