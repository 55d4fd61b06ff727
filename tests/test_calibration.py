"""Thresholds keep their promise, and come from unseen good pictures alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from understudy import InputError, PictureError, calibrate, fit, load
from understudy.calibration import thresholds_from


def test_a_review_rate_below_the_false_alarm_rate_is_refused() -> None:
    with pytest.raises(InputError, match=r"review rate 0\.1 must not be below .* 0\.2"):
        thresholds_from([1.0] * 20, 0.2, 0.1)


def test_the_review_band_lies_below_the_fail_threshold() -> None:
    thresholds = thresholds_from(list(range(100)), 0.01)
    assert (thresholds.review_above, thresholds.fail_above) == (95, 99)
    assert thresholds.review_rate == pytest.approx(0.05)


def test_a_fresh_model_is_calibrated_on_its_held_out_pictures(model_folder: Path) -> None:
    pictures = json.loads((model_folder / "pictures.json").read_text())
    thresholds = load(model_folder).thresholds
    assert thresholds is not None
    assert thresholds.n_good == 8  # two of six, four categories
    assert len(pictures["held_out"]) == 8
    assert not set(pictures["held_out"]) & set(pictures["trained"])


def test_calibrating_leaves_out_what_was_trained_on_and_what_is_for_tests(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    thresholds = calibrate(copy, factory, 0.2, 0.4)
    assert thresholds.n_good == 8
    assert load(copy).thresholds == thresholds
    with pytest.raises(InputError, match=r"0\.01 needs at least 99 .* got 8"):
        calibrate(copy, factory, 0.01)
    assert load(copy).thresholds == thresholds  # the old ones stay


def test_a_broken_picture_stops_a_calibration_by_name(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    shutil.copytree(factory / "nut" / "test" / "good", good)
    (good / "broken.png").write_bytes(b"no")
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    with pytest.raises(PictureError, match=r"broken\.png is no picture"):
        calibrate(copy, good, 0.5)


def test_only_categories_that_the_model_knows_are_used(
    factory: Path, tmp_path: Path, model_folder: Path
) -> None:
    both = Path(shutil.copytree(factory, tmp_path / "data"))
    shutil.copytree(both / "nut", both / "strange")
    (both / "strange" / "train" / "good" / "broken.png").write_bytes(b"would be an error")
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    assert calibrate(copy, both, 0.2).n_good == 8


def test_a_held_out_copy_of_a_trained_picture_does_not_calibrate(factory: Path, tmp_path: Path) -> None:
    good = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    for path in list(good.iterdir()):
        shutil.copy(path, path.with_stem(path.stem + "-copy"))
    options = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "device": "cpu"}
    model = fit(good, tmp_path / "m", holdout=0.5, **options)
    twins = set(model.pictures.trained) & set(model.pictures.held_out)
    assert twins
    unseen = len(model.pictures.held_out) - sum(d in twins for d in model.pictures.held_out)
    assert (model.thresholds.n_good if model.thresholds else 0) == unseen
