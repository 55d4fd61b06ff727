"""From pictures to metrics.json: what is counted, at which resolution, and what is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from understudy import Evaluation, InputError, PictureError, Model, evaluate
from understudy.lab.factory import LogicalPlan, write_logical
from understudy.evaluate import NAMES, read_masks, room
from understudy.evaluate.figures import IMAGE_NAMES, PIXEL_NAMES
from understudy.evaluate.marks import ThresholdChoice
from understudy.metrics import aupro
from understudy.progress import Reporter
from understudy.runtime.decision import Thresholds
from understudy.runtime.images import resize_map
from understudy.runtime.scoring import Scored


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(factory, tmp_path / "data"))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    write_logical(tmp_path, LogicalPlan(train=1, validation=0, good=3, each_defect=2, size=64))
    return tmp_path / "kit"


def test_the_metrics_have_the_schema_that_scripts_rely_on(model: Model, factory: Path) -> None:
    metrics = evaluate(model, factory).metrics
    assert {k: metrics[k] for k in ("schema", "method", "teacher", "image_size", "seed")} == {
        "schema": 1,
        "method": "snl-rd",
        "teacher": "tf_efficientnet_lite0",
        "image_size": 64,
        "seed": 0,
    }
    assert list(metrics["categories"]) == ["capsule", "linen", "nut", "veneer"]
    for figures in metrics["categories"].values():
        assert list(figures) == [
            *NAMES,
            "image_auroc_interval",
            "false_alarm_rate",
            "recognition",
            "max_error",
            "missing",
            "n_good",
            "n_defect",
            "n_masks",
            "image_auroc_of_kinds",
            "au_spro",
            "au_spro_max_error",
            "defects",
        ]
        assert (figures["n_good"], figures["n_defect"], figures["n_masks"]) == (2, 3, 3)
        assert all(0 <= figures[name] <= 1 for name in NAMES)
        low, high = figures["image_auroc_interval"]
        assert low <= figures["image_auroc"] <= high
        assert (figures["max_error"], figures["missing"], figures["au_spro"]) == (None, {}, None)
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["map_resolution"] == "64x64"
    assert metrics["data"] == {"root": str(factory), "layout": "MVTec AD layout", "seen_in_training": 0}
    assert metrics["spro_mode"] is None
    assert metrics["versions"]["understudy"]
    assert metrics["pixel_mode"] == {"form": "exact", "pixels": 4 * 5 * 64 * 64, "bins": None}
    assert metrics["mean_au_spro"] is None


def test_mean_worst_and_pooled_are_three_different_things(model: Model, factory: Path) -> None:
    result = evaluate(model, factory)
    figures = {c: f["image_auroc"] for c, f in result.metrics["categories"].items()}
    assert result.metrics["mean"]["image_auroc"] == pytest.approx(np.mean(list(figures.values())))
    category, value = result.metrics["worst"]["image_auroc"]
    assert value == min(figures.values()) == figures[category]
    labels = [not t.record.is_good for t in result.tested]
    scores = [t.score for t in result.tested]
    assert result.metrics["pooled"]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))


def judged_by(model: Model, thresholds: Thresholds, **categories: Thresholds) -> Model:
    assert model.calibration
    changes = {"thresholds": thresholds, "categories": categories}
    return replace(model, calibration=model.calibration.model_copy(update=changes))


def maps_and_masks(model: Model, result: Evaluation) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Scored once more, at the model's size."""
    maps = [found.anomaly_map for found in model.score([t.record.path for t in result.tested])]  # type: ignore[union-attr]
    marked = [read_masks(t.record, (64, 64)) for t in result.tested]
    return maps, [mask for mask in marked if mask is not None]


def test_pixel_metrics_are_over_all_pixels_of_a_category(model: Model, factory: Path) -> None:
    result = evaluate(model, factory, ["nut"])
    maps, masks = maps_and_masks(model, result)
    figures = result.metrics["categories"]["nut"]
    labels, scores = np.ravel(masks), np.ravel(maps)
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert figures["pixel_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
    assert figures["aupro"] == pytest.approx(aupro(maps, masks), abs=1e-6)


def test_more_pixels_than_memory_has_room_for_are_counted_in_bins_within_the_stated_error(
    model: Model, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = evaluate(model, factory).metrics
    monkeypatch.setattr(room, "EXACT_PIXELS", 6 * 64 * 64)  # a category fits, all four do not
    said: list[str] = []
    mixed = evaluate(model, factory, reporter=Reporter(say=said.append)).metrics
    assert mixed["categories"] == exact["categories"]
    assert mixed["pixel_mode"]["form"] == "histogram"
    assert "too many to keep for all together: counted there in 262144 bins" in said[1]
    monkeypatch.setattr(room, "EXACT_PIXELS", 0)
    binned = evaluate(model, factory).metrics
    for ours, true in [
        (mixed["pooled"], exact["pooled"]),
        *zip(binned["categories"].values(), exact["categories"].values(), strict=True),
    ]:
        assert list(ours["max_error"]) == list(PIXEL_NAMES)
        for name, bound in ours["max_error"].items():
            assert abs(ours[name] - true[name]) <= bound + 1e-6
            assert bound < 0.05
        assert ours["image_auroc"] == true["image_auroc"]


def test_pixels_of_each_kind_are_measured_with_the_good_pictures_alone(
    model: Model, factory: Path
) -> None:
    result = evaluate(model, factory, ["nut"])
    maps, masks = maps_and_masks(model, result)
    kinds = [t.record.defect for t in result.tested]
    for kind, figures in result.metrics["categories"]["nut"]["defects"].items():
        of_kind = [i for i, k in enumerate(kinds) if k in (kind, "good")]
        scores, labels = (np.ravel([found[i] for i in of_kind]) for found in (maps, masks))
        assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        expected = aupro([maps[i] for i in of_kind], [masks[i] for i in of_kind])
        assert figures["aupro"] == pytest.approx(expected, abs=1e-6)


def test_the_limit_of_aupro_can_be_chosen(model: Model, factory: Path) -> None:
    result = evaluate(model, factory, ["nut"], aupro_limit=0.05)
    assert result.metrics["aupro_limit"] == 0.05
    expected = aupro(*maps_and_masks(model, result), limit=0.05)
    assert result.metrics["categories"]["nut"]["aupro"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="above 0 and at most 1, got 2"):
        evaluate(model, factory, aupro_limit=2)


def test_test_pictures_that_the_training_has_seen_are_counted(model: Model, data: Path) -> None:
    shutil.copy(next((data / "nut" / "train" / "good").iterdir()), data / "nut" / "test" / "good" / "x.png")
    said: list[str] = []
    metrics = evaluate(model, data, reporter=Reporter(say=said.append)).metrics
    assert metrics["data"]["seen_in_training"] == 1
    assert "1 test pictures are, byte for byte, pictures that the training has seen" in said[-1]


def test_a_score_that_is_no_number_leaves_its_picture_out(model: Model, factory: Path) -> None:
    class Broken(Model):
        def score(self, *given: Any, **named: Any) -> Iterator[Scored | PictureError]:
            for found in super().score(*given, **named):
                assert isinstance(found, Scored)
                yield replace(found, score=float("nan")) if found.path.name == "001.png" else found

    result = evaluate(Broken(**{f.name: getattr(model, f.name) for f in fields(model)}), factory)
    assert len(result.broken) == 4
    assert str(result.broken[0]).endswith("has a score that is no number; train the model again")
    assert {c["n_good"] for c in result.metrics["categories"].values()} == {1}


def test_each_kind_of_defect_is_measured_alone_against_the_good_pictures(
    model: Model, kit: Path
) -> None:
    result = evaluate(model, kit, ["kit"])
    by_kind = result.metrics["categories"]["kit"]["defects"]
    assert list(by_kind) == ["logical_anomalies", "structural_anomalies"]
    good = [t.score for t in result.tested if t.record.is_good]
    for kind, figures in by_kind.items():
        bad = [t.score for t in result.tested if t.record.defect == kind]
        assert figures["n"] == len(bad) == 8
        expected = roc_auc_score([0] * len(good) + [1] * len(bad), good + bad)
        assert figures["image_auroc"] == pytest.approx(expected)
    mean = np.mean([figures["image_auroc"] for figures in by_kind.values()])
    assert result.metrics["categories"]["kit"]["image_auroc_of_kinds"] == pytest.approx(mean)
    assert result.metrics["mean_image_auroc_of_kinds"] == pytest.approx(mean)


def test_a_kind_of_defect_has_no_figure_without_good_pictures(model: Model, kit: Path) -> None:
    shutil.rmtree(kit / "test" / "good")
    figures = evaluate(model, kit, ["kit"]).metrics["categories"]["kit"]["defects"]
    assert figures["logical_anomalies"]["image_auroc"] is None
    assert figures["logical_anomalies"]["n"] == 8


def test_recall_of_a_kind_is_the_share_that_fails(model: Model, kit: Path) -> None:
    scores = sorted(t.score for t in evaluate(model, kit, ["kit"]).tested if not t.record.is_good)
    thresholds = Thresholds(
        fail_above=scores[-3], review_above=scores[3], false_alarm_rate=0.1, review_rate=0.2, n_good=9
    )
    result = evaluate(judged_by(model, thresholds), kit, ["kit"])
    kinds = result.metrics["categories"]["kit"]["defects"]
    assert sum(k["recall"] * k["n"] for k in kinds.values()) == pytest.approx(2)
    assert sum(k["flagged"] * k["n"] for k in kinds.values()) == pytest.approx(len(scores) - 4)
    uncalibrated = evaluate(replace(model, calibration=None), kit, ["kit"])
    for figures in uncalibrated.metrics["categories"]["kit"]["defects"].values():
        assert figures["recall"] is figures["flagged"] is None


def test_maps_can_be_scored_at_the_masks_own_resolution(model: Model, data: Path) -> None:
    folder = data / "nut"
    for path in [*folder.glob("test/*/*.png"), *folder.glob("ground_truth/*/*.png")]:
        Image.open(path).resize((96, 80), Image.Resampling.NEAREST).save(path)
    result = evaluate(model, data, ["nut"], map_resolution="mask")
    assert result.metrics["map_resolution"] == "mask"
    assert result.metrics["pixel_mode"]["pixels"] == 5 * 96 * 80
    maps = [
        resize_map(found.anomaly_map, (80, 96))
        for found in model.score([t.record.path for t in result.tested])
    ]  # type: ignore[union-attr]
    masks = [read_masks(t.record, (80, 96)) for t in result.tested]
    figures = result.metrics["categories"]["nut"]
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(np.ravel(masks), np.ravel(maps)), abs=1e-6)
    assert evaluate(model, data, ["nut"]).metrics["pixel_mode"]["pixels"] == 5 * 64 * 64


def test_a_category_without_tests_has_no_figures(model: Model, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test")
    metrics = evaluate(model, data).metrics
    assert all(metrics["categories"]["nut"][name] is None for name in NAMES)
    assert metrics["categories"]["nut"]["n_good"] == 0
    assert metrics["mean"]["image_auroc"] is not None
    assert metrics["worst"]["image_auroc"][0] != "nut"
    assert set(metrics["categories"]["nut"]["missing"].values()) == {"no test pictures"}


def test_good_pictures_alone_and_unmarked_defects_have_the_figures_that_can_be_told(
    model: Model, data: Path
) -> None:
    for defect in [d for d in (data / "nut" / "test").iterdir() if d.name != "good"]:
        shutil.rmtree(defect)
    shutil.rmtree(data / "capsule" / "ground_truth")
    categories = evaluate(model, data).metrics["categories"]
    assert all(categories["nut"][name] is None for name in NAMES)
    assert categories["nut"]["missing"] == dict.fromkeys(NAMES, "no defective test pictures")
    assert categories["capsule"]["image_auroc"] is not None
    assert categories["capsule"]["missing"] == dict.fromkeys(PIXEL_NAMES, "no defect is marked by a mask")
    assert categories["capsule"]["pixel_auroc"] is categories["capsule"]["aupro"] is None
    assert categories["capsule"]["n_masks"] == 0


def test_a_data_set_without_any_defect_is_evaluated_all_the_same(model: Model, data: Path) -> None:
    for defect in [d for d in data.glob("*/test/*") if d.name != "good"]:
        shutil.rmtree(defect)
    metrics = evaluate(model, data).metrics
    assert all(value is None for value in [*metrics["mean"].values(), *metrics["worst"].values()])
    assert metrics["pooled"]["missing"] == dict.fromkeys(NAMES, "no defective test pictures")
    assert json.loads(json.dumps(metrics)) == metrics


def test_defects_alone_have_no_image_metrics(model: Model, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test" / "good")
    figures = evaluate(model, data, ["nut"]).metrics["categories"]["nut"]
    assert figures["missing"] == dict.fromkeys(IMAGE_NAMES, "no good test pictures")
    assert figures["image_auroc_interval"] is None
    assert figures["pixel_auroc"] is not None


def test_no_test_pictures_at_all_is_an_error(model: Model, data: Path) -> None:
    for folder in data.iterdir():
        shutil.rmtree(folder / "test")
    with pytest.raises(InputError, match="no test pictures"):
        evaluate(model, data)


def test_broken_pictures_and_masks_of_another_size_are_left_out_by_name(
    model: Model, data: Path
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"broken")
    mask = data / "linen" / "ground_truth" / "hole" / "000_mask.png"
    Image.new("L", (9, 9)).save(mask)
    result = evaluate(model, data)
    assert [e.path for e in result.broken] == [mask, data / "nut" / "test" / "good" / "000.png"]
    assert result.metrics["categories"]["nut"]["n_good"] == 1
    assert result.metrics["categories"]["linen"]["n_defect"] == 2
    assert "is a mask of 9x9, its picture is 64x64" in result.metrics["unreadable"][0]


def test_a_figure_that_is_missing_for_unreadable_pictures_says_so(model: Model, data: Path) -> None:
    for path in (data / "nut" / "test").glob("*/*.png"):
        path.write_bytes(b"broken")
    missing = evaluate(model, data).metrics["categories"]["nut"]["missing"]
    assert set(missing.values()) == {"no test pictures (5 could not be read)"}


def test_categories_that_the_model_does_not_know_are_left_out_unless_named(
    model: Model, data: Path
) -> None:
    shutil.copytree(data / "nut", data / "strange")
    known = ["capsule", "linen", "nut", "veneer"]
    assert list(evaluate(model, data).metrics["categories"]) == known
    assert list(evaluate(model, data, ["strange"]).metrics["categories"]) == ["strange"]
    assert list(evaluate(model, data / "strange").metrics["categories"]) == ["strange"]


def test_verdicts_come_from_the_thresholds_of_the_category_or_those_for_all_as_asked(
    model: Model, factory: Path
) -> None:
    for_all = Thresholds(fail_above=1e9, review_above=1e9, false_alarm_rate=0.1, review_rate=0.1, n_good=9)
    nuts = for_all.model_copy(update={"fail_above": -1.0, "review_above": -1.0})
    own = judged_by(model, for_all, nut=nuts)

    def verdicts(choice: ThresholdChoice) -> dict[str, set[str | None]]:
        result = evaluate(own, factory, ["nut", "linen"], thresholds=choice)
        assert result.metrics["thresholds"] == choice
        return {c: {t.verdict for t in result.tested if t.record.category == c} for c in ("nut", "linen")}

    assert verdicts("auto") == {"nut": {"FAIL"}, "linen": {"PASS"}}
    assert verdicts("global") == {"nut": {"PASS"}, "linen": {"PASS"}}
    with pytest.raises(InputError, match=r"no thresholds of their own for linen; .* --thresholds auto"):
        verdicts("category")
    uncalibrated = replace(model, calibration=None)
    assert evaluate(uncalibrated, factory).metrics["thresholds"] is None


def test_false_alarms_and_recognition_are_counted_per_category_and_over_all(
    model: Model, factory: Path, data: Path
) -> None:
    for_all = Thresholds(fail_above=-1, review_above=-1, false_alarm_rate=0.1, review_rate=0.1, n_good=9)
    strict = judged_by(model, for_all, nut=for_all.model_copy(update={"fail_above": 1e9}))
    assert strict.calibration
    near = strict.calibration.distances.model_copy(update={"overall": 2.0, "categories": {"nut": 0.0}})
    strict = replace(strict, calibration=strict.calibration.model_copy(update={"distances": near}))
    metrics = evaluate(strict, factory, ["linen", "nut"]).metrics
    linen, nut, pooled = metrics["categories"]["linen"], metrics["categories"]["nut"], metrics["pooled"]
    assert (linen["false_alarm_rate"], nut["false_alarm_rate"], pooled["false_alarm_rate"]) == (1, 0, 0.5)
    assert linen["recognition"] == {"right": 1, "wrong": 0, "unknown": 0}
    assert nut["recognition"] == {"right": 0, "wrong": 1, "unknown": 0}  # nothing is near enough to a nut
    assert pooled["recognition"] == {"right": 0.5, "wrong": 0.5, "unknown": 0}
    (data / "nut").rename(data / "strange")
    figures = evaluate(strict, data, ["strange"]).metrics["categories"]["strange"]
    assert figures["recognition"] is None
    none = strict.calibration.distances.model_copy(update={"overall": -1.0})
    nowhere = replace(strict, calibration=strict.calibration.model_copy(update={"distances": none}))
    assert evaluate(nowhere, factory, ["nut"]).metrics["pooled"]["recognition"]["unknown"] == 1
    uncalibrated = evaluate(replace(model, calibration=None), factory, ["nut"]).metrics["pooled"]
    assert uncalibrated["false_alarm_rate"] is None
