"""Thresholds keep their promise, and come from unseen good pictures alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from understudy import Calibration, InputError, Inspector, Model, PictureError, fit, load
from understudy.calibrate import calibrate
from understudy.calibrate.conformal import conformal_threshold, promise
from understudy.calibrate.job import HeldOut, Rates, calibrate_fresh, calibration_from, thresholds_from
from understudy.data.layouts import open_pictures
from understudy.distill.network import TorchNetwork
from understudy.progress import Reporter
from understudy.runtime.decision import Limits, decide
from understudy.runtime.graph import Answers
from understudy.runtime.regions import highest_threshold_with_region, large_regions
from understudy.runtime.sources import digest_of


def calibrated(
    folder: Path, data: Path, rate: float, review_rate: float | None = None, **options: Any
) -> Calibration:
    """Calibrate a saved model, whose thresholds of before need not be readable."""
    model = Model.load(folder, "cpu", calibrated=False)
    asked = {"review_rate": review_rate, "progress": False} | options
    return model.calibrate(data, false_alarm_rate=rate, **asked)


def test_a_review_rate_below_the_false_alarm_rate_is_refused() -> None:
    with pytest.raises(InputError, match=r"review rate 0\.1 must not be below .* 0\.2"):
        thresholds_from([1.0] * 20, 0.2, 0.1)


def test_the_review_band_lies_below_the_fail_threshold() -> None:
    thresholds = thresholds_from(list(range(100)), 0.01)
    assert (thresholds.review_above, thresholds.fail_above) == (95, 99)
    assert thresholds.review_rate == pytest.approx(0.05)


def held_out(**scores: int) -> list[HeldOut]:
    """So many pictures of each category, with scores 1, 2, ... times the place of the category."""
    return [
        HeldOut(name, float(place * i), i / 100, i / 10)
        for place, (name, n) in enumerate(scores.items(), start=1)
        for i in range(1, n + 1)
    ]


def test_a_category_with_pictures_enough_has_thresholds_of_its_own() -> None:
    calibration = calibration_from(
        [*held_out(nut=19, bolt=9, pin=8), HeldOut(None, 500.0, 5.0, 50.0)], Rates(0.1, 0.2, 0.05)
    )
    assert calibration.thresholds.n_good == 37
    assert {c: (t.fail_above, t.review_above, t.n_good) for c, t in calibration.categories.items()} == {
        "nut": (18, 16, 19),
        "bolt": (18, 16, 9),
    }
    assert calibration.promise == promise(37, 0.1)
    assert calibration.distances == Limits(rate=0.05, overall=5.0, categories={"nut": 0.19})
    assert calibration.masks == Limits(rate=0.1, overall=1.8, categories={"nut": 1.8, "bolt": 0.9})


def test_the_rate_of_unknown_products_is_that_of_false_alarms_unless_asked_otherwise() -> None:
    assert calibration_from(held_out(nut=19), Rates(0.1)).distances.rate == 0.1
    assert calibration_from(held_out(nut=19), Rates(0.1, 0.2, 0.3)).distances.rate == 0.3
    with pytest.raises(InputError, match="between 0 and 1, got 0"):
        calibration_from(held_out(nut=19), Rates(0.1, 0.2, 0.0))


@pytest.mark.parametrize("name", ["false_alarm_rate", "review_rate", "unknown_rate"])
@pytest.mark.parametrize("rate", [0, 1, -0.1, 1e-320, float("nan"), float("inf"), 1 - 1e-16])
def test_a_rate_that_cannot_be_promised_is_refused_before_a_picture_is_looked_at(
    name: str, rate: float, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"a rate lies between 0 and 1, got {rate:g}; 0.01 is one picture"):
        model.calibrate(tmp_path / "nowhere", progress=False, **{name: rate})


def test_what_else_is_wrong_with_the_rates_or_the_area_is_found_as_early(
    model: Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"review rate 0\.1 must not be below the false-alarm rate 0\.2"):
        model.calibrate(tmp_path / "nowhere", false_alarm_rate=0.2, review_rate=0.1)
    with pytest.raises(InputError, match="area of a defect is a pixel or more, got 0; see --min-area"):
        model.calibrate(tmp_path / "nowhere", min_area=0)


def test_scores_that_are_no_number_do_not_calibrate() -> None:
    broken = HeldOut("nut", float("nan"), 0.0, 0.0)
    with pytest.raises(InputError, match=r"a score that is not a number \(NaN\); check the model"):
        calibration_from([*held_out(nut=19), broken], Rates(0.1))


def test_the_rate_holds_in_every_category_where_one_threshold_for_all_misses_it() -> None:
    rng = np.random.default_rng(0)
    own = every = 0
    for _ in range(1000):
        good = [
            HeldOut(c, float(s), 0.0, 0.0)
            for c in ("low", "high")
            for s in rng.gamma(2, size=19) + 3 * (c == "high")
        ]
        calibration, new = calibration_from(good, Rates(0.1)), float(rng.gamma(2)) + 3  # of the high category
        own += new > calibration.categories["high"].fail_above
        every += new > calibration.thresholds.fail_above
    assert own <= 100 + 4 * np.sqrt(90) < every


def test_calibrating_says_what_is_promised_and_who_has_no_thresholds_of_their_own(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    said: list[str] = []
    few = calibrated(copy, factory, 0.2, 0.4, progress=Reporter(say=said.append))
    assert few.categories == {}
    assert promise(8, 0.2) in said
    assert promise(8, 0.4, "are no PASS") in said
    assert said[-1].endswith("capsule (2), linen (2), nut (2), veneer (2); 4 of a category are needed")
    enough = calibrated(copy, factory, 0.34, 0.34)
    assert list(enough.categories) == ["capsule", "linen", "nut", "veneer"]
    assert {t.n_good for t in enough.categories.values()} == {2}
    assert json.loads((copy / "calibration.json").read_text())["promise"] == enough.promise


def test_pictures_of_a_model_of_one_product_are_this_product_whatever_their_folder(
    factory: Path, tmp_path: Path
) -> None:
    options = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "device": "cpu"}
    fit(factory / "nut", tmp_path / "m", **options)
    more = Path(shutil.copytree(factory / "nut" / "test" / "good", tmp_path / "other name"))
    calibration = calibrated(tmp_path / "m", more, 0.34)
    assert list(calibration.categories) == ["nut"]


def test_pictures_that_all_have_one_score_do_not_calibrate(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    picture = Image.open(factory / "nut" / "test" / "good" / "000.png")
    (tmp_path / "good").mkdir()
    for level in (1, 5, 9):  # other files, the same pixels
        picture.save(tmp_path / "good" / f"{level}.png", compress_level=level)
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    with pytest.raises(InputError, match=r"all 3 held-out good pictures have the same score .* that differ"):
        calibrated(copy, tmp_path / "good", 0.5)


def test_copies_of_a_picture_count_once_in_a_promise(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    pictures = sorted((factory / "nut" / "test" / "good").iterdir())
    (tmp_path / "good").mkdir()
    for picture in pictures:
        for number in range(50):
            shutil.copy(picture, tmp_path / "good" / f"{picture.stem}-{number}.png")
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    with pytest.raises(InputError, match=r"a rate of 0\.01 needs at least 99 .*, got 2;"):
        calibrated(copy, tmp_path / "good", 0.01)
    said: list[str] = []
    made = calibrated(copy, tmp_path / "good", 0.4, progress=Reporter(say=said.append))
    assert made.thresholds.n_good == len(pictures)
    assert any("98 copies of other pictures count once" in line for line in said)


def test_a_picture_whose_score_is_no_number_stops_a_calibration_by_name(
    model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = TorchNetwork.__call__

    def faulty(self: TorchNetwork, images: np.ndarray, *others: Any) -> Answers:
        """Says of a picture of one colour what is no number."""
        answers = network(self, images, *others)
        flat = np.ptp(images, axis=(1, 2, 3)) == 0
        return answers._replace(maps=np.where(flat[:, None, None], np.float32("nan"), answers.maps))

    monkeypatch.setattr(TorchNetwork, "__call__", faulty)
    good = Path(shutil.copytree(factory / "nut" / "test" / "good", tmp_path / "good"))
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    assert calibrated(copy, good, 0.5).thresholds.n_good == 2
    before = (copy / "calibration.json").read_bytes()
    Image.new("RGB", (64, 64)).save(good / "dark.png")
    with pytest.raises(
        InputError, match=r"dark\.png has a score .* not a number .*; .* without that picture"
    ):
        calibrated(copy, good, 0.5)
    assert (copy / "calibration.json").read_bytes() == before


def test_without_a_picture_that_the_training_has_not_seen_nothing_is_calibrated(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    trained = set(json.loads((model_folder / "pictures.json").read_text())["trained"])
    good = tmp_path / "good"
    good.mkdir()
    for path in (factory / "nut" / "train" / "good").iterdir():
        if digest_of(path.read_bytes()) in trained:
            shutil.copy(path, good)
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    with pytest.raises(InputError, match="no good pictures are left that the model was not trained on"):
        calibrated(copy, good, 0.5)


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
    calibration = calibrated(copy, factory, 0.2, 0.4)
    assert calibration.thresholds.n_good == 8
    assert load(copy).calibration == calibration
    with pytest.raises(InputError, match=r"0\.01 needs at least 99 .* got 8"):
        calibrated(copy, factory, 0.01)
    assert load(copy).calibration == calibration  # the old ones stay


def test_a_broken_picture_stops_a_calibration_by_name(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good"
    shutil.copytree(factory / "nut" / "test" / "good", good)
    (good / "broken.png").write_bytes(b"no")
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    with pytest.raises(PictureError, match=r"broken\.png is no picture"):
        calibrated(copy, good, 0.5)


def test_only_categories_that_the_model_knows_are_used(
    factory: Path, tmp_path: Path, model_folder: Path
) -> None:
    both = Path(shutil.copytree(factory, tmp_path / "data"))
    shutil.copytree(both / "nut", both / "strange")
    (both / "strange" / "train" / "good" / "broken.png").write_bytes(b"would be an error")
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    assert calibrated(copy, both, 0.2).thresholds.n_good == 8


def test_a_held_out_copy_of_a_trained_picture_does_not_calibrate(factory: Path, tmp_path: Path) -> None:
    good = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    for path in list(good.iterdir()):
        shutil.copy(path, path.with_stem(path.stem + "-copy"))
    options = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "device": "cpu"}
    model = fit(good, tmp_path / "m", holdout=0.75, **options)
    twins = set(model.inspector.seen.trained) & set(model.inspector.seen.held_out)
    assert twins
    unseen = len(set(model.inspector.seen.held_out) - twins)  # copies among them count once
    assert (model.thresholds.n_good if model.thresholds else 0) == unseen


def test_a_mask_marks_a_good_picture_at_the_promised_rate_at_most() -> None:
    rng = np.random.default_rng(4)
    marked = 0
    for _ in range(500):  # noise in blocks, so that regions of four pixels are common
        maps = np.kron(rng.integers(0, 9, (20, 4, 5)), np.ones((1, 2, 2))).astype(np.float32)
        above = conformal_threshold([highest_threshold_with_region(m, 4) for m in maps[:-1]], 0.1)
        marked += large_regions(maps[-1] > above, 4).any()
    assert marked <= 50 + 4 * np.sqrt(45)


def test_masks_of_held_out_pictures_are_empty_and_small_regions_are_dropped(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    one = calibrated(copy, factory, 1 / 9, 0.5, min_area=1)
    assert one.masks.overall == one.thresholds.fail_above  # a region of one pixel is the maximum
    calibrated(copy, factory, 1 / 9, 0.5, min_area=40)
    model = load(copy, "cpu")
    assert model.calibration
    assert model.calibration.masks.overall < one.masks.overall
    held_out = set(model.inspector.seen.held_out)
    for found in model.predict(factory):
        assert found.ok
        mask = model.defect_mask(found)
        if digest_of(found.path.read_bytes()) in held_out:
            assert not mask.any()
        above = found.anomaly_map > model.calibration.masks.overall
        np.testing.assert_array_equal(mask, large_regions(above, 40))
    with pytest.raises(InputError, match="calibrate it first"):
        Model.load(copy, "cpu", calibrated=False).defect_mask(found)


def test_an_area_that_no_map_has_is_refused(model_folder: Path, factory: Path, tmp_path: Path) -> None:
    copy, area = Path(shutil.copytree(model_folder, tmp_path / "m")), 64 * 64 + 1
    with pytest.raises(InputError, match=f"between 1 and the map's 4096 pixels, got {area}"):
        calibrated(copy, factory, 0.2, min_area=area)


def test_thresholds_of_an_exported_model_hold_at_once_too(
    exported: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(exported, tmp_path / "m"))
    inspector = Inspector.load(copy, calibrated=False)
    assert {r.verdict for r in inspector.predict(factory / "nut")} == {None}
    calibration = calibrate(inspector, factory, false_alarm_rate=0.2, progress=False)
    assert inspector.calibration == calibration == Inspector.load(copy).calibration
    for found in inspector.predict(factory / "nut", category="nut"):
        assert found.verdict == decide(found.score, calibration.thresholds)


def test_an_earlier_calibration_decides_nothing_about_the_next(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copies = [Path(shutil.copytree(model_folder, tmp_path / name)) for name in "ab"]
    first, second = (Model.load(copy, "cpu", calibrated=i == 0) for i, copy in enumerate(copies))
    assert (first.calibration is None, second.calibration is None) == (False, True)
    found = [m.calibrate(factory, false_alarm_rate=0.2, progress=False) for m in (first, second)]
    assert found[0] == found[1]
    assert first.calibrate(factory, false_alarm_rate=0.2, progress=False) == found[0]


def test_a_fresh_model_takes_the_asked_rate_or_the_smallest_that_its_pictures_allow(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    inspector = Model.load(shutil.copytree(model_folder, tmp_path / "m"), "cpu").inspector
    records = open_pictures(factory).train()  # of which eight were held out
    said: list[str] = []
    reporter = Reporter(say=said.append)
    asked = calibrate_fresh(inspector, records, 0.2, reporter)
    assert asked is not None
    assert asked.thresholds.false_alarm_rate == 0.2
    assert not any("was asked for" in line for line in said)
    smallest = calibrate_fresh(inspector, records, 0.01, reporter)
    assert smallest is not None
    assert smallest.thresholds.false_alarm_rate == pytest.approx(1 / 9)
    assert inspector.calibration == smallest
    assert any("a false-alarm rate of 0.01 was asked for; 8 held-out pictures can" in line for line in said)
    trained = [r for r in records if digest_of(r.path.read_bytes()) in inspector.seen.trained]
    assert calibrate_fresh(inspector, trained, 0.2, reporter) is None
    assert inspector.calibration == smallest
