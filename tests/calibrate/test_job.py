"""Thresholds keep their promise, and come from unseen good pictures alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from understudy import Calibration, InputError, Inspector, Model, PictureError, fit, load
from understudy.calibrate import calibrate, job
from understudy.calibrate.advice import advice
from understudy.calibrate.conformal import conformal_threshold, promise
from understudy.calibrate.estimate import pool_figures
from understudy.calibrate.job import calibrate_fresh, seen_pictures, unseen_pictures
from understudy.calibrate.learn import learn_usual
from understudy.calibrate.thresholds import Rates
from understudy.data.layouts import open_pictures
from understudy.distill.network import TorchNetwork
from understudy.progress import Reporter
from understudy.runtime.decision import decide
from understudy.runtime.graph import Answers
from understudy.runtime.regions import highest_threshold_with_region, large_regions
from understudy.runtime.sources import digest_of


def calibrated(
    folder: Path, data: Path, rate: float, review_budget: float = 0.05, **options: Any
) -> Calibration:
    """Calibrate a saved model, whose thresholds of before need not be readable."""
    model = Model.load(folder, "cpu", calibrated=False)
    asked = {"review_budget": review_budget, "progress": False} | options
    return model.calibrate(data, false_alarm_rate=rate, **asked)


@pytest.mark.parametrize("name", ["false_alarm_rate", "review_budget"])
@pytest.mark.parametrize("rate", [0, 1, -0.1, 1e-320, float("nan"), float("inf"), 1 - 1e-16])
def test_a_rate_that_cannot_be_promised_is_refused_before_a_picture_is_looked_at(
    name: str, rate: float, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"a rate lies between 0 and 1, got {rate:g}; 0.01 is one picture"):
        model.calibrate(tmp_path / "nowhere", progress=False, **{name: rate})


def test_what_else_is_wrong_with_the_rates_or_the_area_is_found_as_early(
    model: Model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"false alarms \(0\.6\) and the review budget \(0\.4\) are all"):
        model.calibrate(tmp_path / "nowhere", false_alarm_rate=0.6, review_budget=0.4)
    with pytest.raises(InputError, match="area of a defect is a pixel or more, got 0; see --min-area"):
        model.calibrate(tmp_path / "nowhere", min_area=0)


def test_calibrating_says_what_is_promised_and_who_has_no_thresholds_of_their_own(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    said: list[str] = []
    few = calibrated(copy, factory, 0.2, 0.6, progress=Reporter(say=said.append))
    assert few.categories == {}
    assert few.promise == promise(8, 0.2)
    assert few.promise in said
    budget = "a person looks at no more than 60 % of good pictures (REVIEW): 48 % by their score, and 12 %"
    assert any(line.startswith(budget) for line in said)
    assert said[-1].endswith(
        "capsule (2), linen (2), nut (2), veneer (2); 12 pictures of a category give it its own"
    )
    assert json.loads((copy / "calibration.json").read_text())["promise"] == few.promise


def without_test(factory: Path, out: Path) -> Path:
    """Eight good pictures of each category, of which a training has seen four."""
    for category in sorted(p for p in factory.iterdir() if p.is_dir()):
        (out / category.name).mkdir(parents=True)
        for kind in ("train", "test"):
            for path in (category / kind / "good").iterdir():
                shutil.copy(path, out / category.name / f"{kind}-{path.name}")
    return out


def test_too_few_pictures_for_a_promise_give_an_estimate_and_it_says_so(
    model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    good = without_test(factory, tmp_path / "good")
    with pytest.raises(
        InputError, match=r"16 good pictures .* are too few: 20 are the least for an estimate, and 99 "
    ):
        calibrated(copy, good, 0.01)
    monkeypatch.setattr(job, "FEWEST", 16)
    said: list[str] = []
    made = calibrated(copy, good, 0.01, progress=Reporter(say=said.append))
    assert (made.thresholds.basis, made.thresholds.n_good, made.checked) == ("estimated", 16, None)
    assert list(made.categories) == ["capsule", "linen", "nut", "veneer"]
    assert "16 good pictures that the training has not seen are too few to promise 0.01" in " ".join(said)
    promised = calibrated(copy, good, 0.1)
    assert (promised.thresholds.basis, promised.thresholds.n_good) == ("promised", 16)
    assert load(copy).calibration == promised


def test_the_basis_of_a_calibration_can_be_chosen(model_folder: Path, factory: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    many = without_test(factory, tmp_path / "many")
    as_promised = calibrated(copy, many, 0.2)
    as_estimated = calibrated(copy, many, 0.2, basis="estimated")
    assert (as_promised.thresholds.basis, as_estimated.thresholds.basis) == ("promised", "estimated")
    assert as_promised.interval is None
    assert set(as_estimated.categories) == {"capsule", "linen", "nut", "veneer"}
    assert json.loads((copy / "calibration.json").read_text())["thresholds"]["basis"] == "estimated"
    with pytest.raises(InputError, match=r"a rate of 0\.001 needs at least 999 good pictures"):
        calibrated(copy, many, 0.001, basis="promised")


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
    with pytest.raises(
        InputError, match=r"2 good pictures .* are too few: 20 are the least for an estimate, and 99 "
    ):
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


def test_a_fresh_model_is_calibrated_on_what_it_learned_from_and_checked_on_the_rest(
    model_folder: Path,
) -> None:
    pictures = json.loads((model_folder / "pictures.json").read_text())
    calibration = load(model_folder).calibration
    assert calibration is not None
    assert calibration.thresholds.n_good == 24
    assert calibration.checked is not None
    assert calibration.checked[1] == 8  # two of six, four categories
    assert len(pictures["held_out"]) == 8
    assert not set(pictures["held_out"]) & set(pictures["trained"])


def test_calibrating_leaves_out_what_was_trained_on_and_what_is_for_tests(
    model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    calibration = calibrated(copy, factory, 0.2)
    assert calibration.thresholds.n_good == 8
    assert load(copy).calibration == calibration
    with pytest.raises(
        InputError, match=r"8 good pictures .* are too few: 20 are the least for an estimate, and 99 "
    ):
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
    assert unseen
    assert model.calibrate(good, false_alarm_rate=0.5, progress=False).thresholds.n_good == unseen


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
    unseen = unseen_pictures(Model.load(copy, "cpu").inspector.seen, open_pictures(factory).train())
    maps = [
        found.anomaly_map
        for record in unseen
        for found in Model.load(copy, "cpu").predict(record.path, category=record.category)
    ]
    highest = max(float(m.max()) for m in maps)  # which is a region of one pixel
    assert one.masks.overall == pytest.approx(highest, rel=1e-5)
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


@pytest.fixture
def fresh(model_folder: Path, tmp_path: Path) -> Inspector:
    return Model.load(shutil.copytree(model_folder, tmp_path / "m"), "cpu", calibrated=False).inspector


def test_a_fresh_models_thresholds_are_estimated_from_what_it_learned_from_and_what_was_held_out(
    fresh: Inspector, model: Model, factory: Path
) -> None:
    records, said = open_pictures(factory).train(), []
    learned = seen_pictures(fresh.seen, records)
    held_out = [r for r in records if r not in learned]
    assert (len(learned), len(held_out)) == (16, 8)
    fresh.scorer = replace(fresh.scorer, usual=None)
    made = calibrate_fresh(fresh, learned, held_out, "comparable", Rates(0.15), Reporter(say=said.append))
    assert made == fresh.calibration == load(fresh.folder).calibration
    assert made is not None
    assert model.calibration is not None
    before = model.calibration.thresholds  # sums may round in another order
    assert made.thresholds.fail_above == pytest.approx(before.fail_above, rel=1e-4)
    assert made.thresholds.review_above == pytest.approx(before.review_above, rel=1e-4)
    assert (made.thresholds.basis, made.thresholds.n_good) == ("estimated", 24)
    assert made.checked is not None
    assert made.checked[1] == 8
    assert made.promise in said
    assert said[-1] == advice(dict.fromkeys(fresh.categories, 6))
    assert {c: len(x) for c, x in made.scores.items()} == dict.fromkeys(fresh.categories, 6)


def test_good_pictures_score_about_zero_plus_or_minus_one(model: Model) -> None:
    assert model.calibration is not None
    for scores in model.calibration.scores.values():
        assert abs(np.mean(scores)) < 2
        assert np.std(scores) < 4


def test_a_model_whose_score_is_a_maximum_is_estimated_too(fresh: Inspector, factory: Path) -> None:
    fresh.scorer = replace(fresh.scorer, usual=None)
    before = (fresh.folder / "usual.npz").read_bytes()
    learned = seen_pictures(fresh.seen, open_pictures(factory).train())
    made = calibrate_fresh(fresh, learned, [], "maximum", Rates(0.1), Reporter())
    assert made is not None
    assert (made.thresholds.n_good, made.checked) == (16, None)
    assert fresh.scorer.usual is None
    assert (fresh.folder / "usual.npz").read_bytes() == before
    paths = [r.path for r in learned if r.category == "nut"]
    scores = [r.score for r in fresh.predict(paths, category="nut")]
    centre = float(np.mean(scores))
    assert min(scores) < centre < made.categories["nut"].fail_above


@pytest.mark.parametrize("n", [0, 1, 9])
def test_a_fresh_model_of_too_few_pictures_has_no_thresholds_and_says_so(
    fresh: Inspector, factory: Path, n: int
) -> None:
    said: list[str] = []
    learned = seen_pictures(fresh.seen, open_pictures(factory).train())
    few = [r for r in learned if r.category in ("nut", "linen")][:n]
    rates = Rates(0.01)
    assert calibrate_fresh(fresh, few, [], "maximum", rates, Reporter(say=said.append)) is None
    assert fresh.calibration is None
    assert said[-1].endswith("good pictures are too few for thresholds, which take ten")


def test_a_product_of_one_picture_is_no_figure_of_a_tail(fresh: Inspector, factory: Path) -> None:
    """One picture of each product and eight held-out ones are twelve, of which eight show a tail."""
    records, said = open_pictures(factory).train(), []
    learned = seen_pictures(fresh.seen, records)
    one_each = [next(r for r in learned if r.category == c) for c in fresh.categories]
    held_out = [r for r in records if r not in learned]
    reporter = Reporter(say=said.append)
    assert calibrate_fresh(fresh, one_each, held_out, "comparable", Rates(0.1), reporter) is None
    assert said[-1] == "8 good pictures are too few for thresholds, which take ten"
    assert load(fresh.folder).manifest.image_score == "comparable"


def test_products_of_which_no_pictures_are_given_keep_their_thresholds_and_it_is_said(
    model_folder: Path, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "FEWEST", 10)
    copy = Path(shutil.copytree(model_folder, tmp_path / "m"))
    before = load(copy).calibration
    assert before is not None
    nuts = tmp_path / "nuts" / "nut"
    nuts.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i, path in enumerate(sorted((factory / "nut" / "train" / "good").iterdir()) * 3):
        with Image.open(path) as image:
            noisy = np.clip(np.asarray(image.convert("RGB")) + rng.integers(-9, 9, (64, 64, 3)), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(nuts / f"{i}.png")
    said: list[str] = []
    made = calibrated(copy, nuts.parent, 0.05, basis="estimated", progress=Reporter(say=said.append))
    assert list(made.scores) == ["nut"]
    assert made.categories["nut"] != before.categories["nut"]
    for other in ("capsule", "linen", "veneer"):
        assert made.categories[other] == before.categories[other]
        assert made.masks.of(other) == before.masks.of(other)
        assert made.distances.of(other) == before.distances.of(other)
    assert (
        "no good pictures were given of capsule, linen, veneer: they keep the thresholds that they had"
        in said
    )
    assert load(copy).calibration == made
    assert any("so they are less sure" in line for line in said)


def test_a_view_more_counts_no_more_than_was_measured_and_a_window_is_seen_less_often_than_its_picture(
    model: Model,
) -> None:
    training = model.manifest.training.model_copy(
        update={"steps": 100, "batch_size": 8, "categories": {"nut": 4, "bolt": 100}, "sampling": "balanced"}
    )
    assert job._views(training, {}) == {"nut": 30, "bolt": 4}
    assert job._views(training, {"nut": 10.0, "bolt": 1.0}) == {"nut": 10, "bolt": 4}
    natural = training.model_copy(update={"sampling": "natural"})
    assert job._views(natural, {}) == dict.fromkeys(("nut", "bolt"), 800 / 104)


def test_the_only_picture_of_a_product_does_not_make_new_ones_unknown(
    fresh: Inspector, factory: Path
) -> None:
    records = [
        r for r in open_pictures(factory).train() if digest_of(r.path.read_bytes()) in fresh.seen.trained
    ]
    only = next(r for r in records if r.category == "nut")
    numbers = fresh.manifest.training.categories | {"nut": 1}
    training = fresh.manifest.training.model_copy(update={"categories": numbers})
    fresh.manifest = fresh.manifest.model_copy(update={"training": training})
    learned = learn_usual(
        fresh, [only, *(r for r in records if r.category != "nut")], "maximum", 16, Reporter()
    )
    assert len(learned["nut"].distances) == 0
    figures = job._together(learned, [], {})["distance"]
    pool = pool_figures(figures)
    others = [norm.centre for name, norm in pool.norms.items() if name != "nut"]
    assert min(others) <= pool.norms["nut"].centre <= max(others)


def test_a_resumed_model_whose_product_has_gone_is_not_made_unreadable(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    options = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "progress": False}

    def stopped(*_: object) -> None:
        raise InputError("stopped here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.model.calibrate_fresh", stopped)
        with pytest.raises(InputError, match="stopped here"):
            fit(data, out=tmp_path / "m", **options)
    shutil.move(data / "nut", tmp_path / "nut")
    with pytest.raises(InputError, match="those that are still there are of capsule, linen, veneer; put"):
        fit(data, out=tmp_path / "m", resume=True, **options)
    assert load(tmp_path / "m").calibration is None
    shutil.move(tmp_path / "nut", data / "nut")
    assert fit(data, out=tmp_path / "m", resume=True, **options).calibration is not None


def test_too_few_pictures_are_said_once(factory: Path, tmp_path: Path) -> None:
    said: list[str] = []
    few = tmp_path / "few"
    for path in sorted((factory / "nut" / "train" / "good").iterdir())[:4]:
        (few / "nut").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, few / "nut")
    options = {"image_size": 64, "max_steps": 2, "batch_size": 2, "strides": (8, 16), "holdout": 0.0}
    model = fit(few, out=tmp_path / "m", progress=Reporter(say=said.append), **options)
    assert model.calibration is None
    assert sum("are too few for thresholds" in line for line in said) == 1
