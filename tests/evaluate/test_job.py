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
from sklearn.metrics import roc_auc_score

from understudy import InputError, Inspector, PictureError
from understudy.evaluate import NAMES, evaluate, read_masks
from understudy.progress import Reporter
from understudy.runtime.images import resize_map
from understudy.runtime.scoring import Scored, Scorer


def test_the_metrics_have_the_schema_that_scripts_rely_on(inspector: Inspector, factory: Path) -> None:
    metrics = evaluate(inspector, factory).metrics
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


def test_mean_worst_and_pooled_are_three_different_things(inspector: Inspector, factory: Path) -> None:
    result = evaluate(inspector, factory)
    figures = {c: f["image_auroc"] for c, f in result.metrics["categories"].items()}
    assert result.metrics["mean"]["image_auroc"] == pytest.approx(np.mean(list(figures.values())))
    category, value = result.metrics["worst"]["image_auroc"]
    assert value == min(figures.values()) == figures[category]
    labels = [not t.record.is_good for t in result.tested]
    scores = [t.score for t in result.tested]
    assert result.metrics["pooled"]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))


def test_defects_found_at_each_rate_are_told_by_the_models_own_limits(
    inspector: Inspector, factory: Path
) -> None:
    result = evaluate(inspector, factory)
    assert inspector.calibration is not None
    assert [f"{limits.rate:g}" for limits in inspector.calibration.rates] == list(result.metrics["found_at"])
    for limits in inspector.calibration.rates:
        entry = result.metrics["found_at"][f"{limits.rate:g}"]
        for category, row in entry["categories"].items():
            own = [t for t in result.tested if t.record.category == category]
            above = [t.record.is_good for t in own if t.score > limits.of(category)]
            assert (row["n_found"], row["n_false_alarms"]) == (above.count(False), above.count(True))
            assert (row["n_defect"], row["n_good"]) == (3, 2)
        assert (entry["all"]["n_defect"], entry["basis"]) == (12, "estimated")
    assert result.metrics["found_at_missing"] == {}


def test_no_test_picture_changes_a_threshold(inspector: Inspector, data: Path) -> None:
    before, file = inspector.calibration, inspector.folder / "calibration.json"
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for path in data.glob("*/test/*/*.png"):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    result = evaluate(inspector, data)
    assert result.metrics["found_at"]["0.01"]["all"]["false_alarms"] > 0
    assert inspector.calibration == before
    assert file.read_bytes() == content


def test_a_model_without_thresholds_has_no_defects_found_at_a_rate_and_says_why(
    inspector: Inspector, factory: Path
) -> None:
    inspector.calibration = None
    metrics = evaluate(inspector, factory, categories=["nut"]).metrics
    assert metrics["found_at"] is None
    assert set(metrics["found_at_missing"].values()) == {"the model is not calibrated"}


def test_test_pictures_that_the_training_has_seen_are_counted(inspector: Inspector, data: Path) -> None:
    shutil.copy(next((data / "nut" / "train" / "good").iterdir()), data / "nut" / "test" / "good" / "x.png")
    said: list[str] = []
    metrics = evaluate(inspector, data, progress=Reporter(say=said.append)).metrics
    assert metrics["data"]["seen_in_training"] == 1
    assert "1 test pictures are, byte for byte, pictures that the training has seen" in said[-1]


def test_a_score_that_is_no_number_leaves_its_picture_out(inspector: Inspector, factory: Path) -> None:
    class Broken(Scorer):
        def score(self, *given: Any, **named: Any) -> Iterator[Scored | PictureError]:
            for found in super().score(*given, **named):
                assert isinstance(found, Scored)
                yield replace(found, score=float("nan")) if found.path.name == "001.png" else found

    scorer = Broken(**{f.name: getattr(inspector.scorer, f.name) for f in fields(inspector.scorer)})
    result = evaluate(replace(inspector, scorer=scorer), factory)
    assert len(result.broken) == 4
    assert str(result.broken[0]).endswith("has a score that is not a number (NaN); train the model again")
    assert {c["n_good"] for c in result.metrics["categories"].values()} == {1}


def test_maps_can_be_scored_at_the_masks_own_resolution(inspector: Inspector, data: Path) -> None:
    folder = data / "nut"
    for path in [*folder.glob("test/*/*.png"), *folder.glob("ground_truth/*/*.png")]:
        Image.open(path).resize((96, 80), Image.Resampling.NEAREST).save(path)
    result = evaluate(inspector, data, categories=["nut"], map_resolution="mask")
    assert result.metrics["map_resolution"] == "mask"
    assert result.metrics["pixel_mode"]["pixels"] == 5 * 96 * 80
    scored = inspector.scorer.score([t.record.path for t in result.tested])
    maps = [resize_map(found.anomaly_map, (80, 96)) for found in scored]  # type: ignore[union-attr]
    masks = [read_masks(t.record, (80, 96)) for t in result.tested]
    figures = result.metrics["categories"]["nut"]
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(np.ravel(masks), np.ravel(maps)), abs=1e-6)
    assert evaluate(inspector, data, categories=["nut"]).metrics["pixel_mode"]["pixels"] == 5 * 64 * 64


def test_a_category_without_tests_has_no_figures(inspector: Inspector, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test")
    metrics = evaluate(inspector, data).metrics
    assert all(metrics["categories"]["nut"][name] is None for name in NAMES)
    assert metrics["categories"]["nut"]["n_good"] == 0
    assert metrics["mean"]["image_auroc"] is not None
    assert metrics["worst"]["image_auroc"][0] != "nut"
    assert set(metrics["categories"]["nut"]["missing"].values()) == {"no test pictures"}


def test_no_test_pictures_at_all_is_an_error(inspector: Inspector, data: Path) -> None:
    for folder in data.iterdir():
        shutil.rmtree(folder / "test")
    with pytest.raises(InputError, match="no test pictures"):
        evaluate(inspector, data)


def test_broken_pictures_and_masks_of_another_size_are_left_out_by_name(
    inspector: Inspector, data: Path
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"broken")
    mask = data / "linen" / "ground_truth" / "hole" / "000_mask.png"
    Image.new("L", (9, 9)).save(mask)
    result = evaluate(inspector, data)
    assert [e.path for e in result.broken] == [mask, data / "nut" / "test" / "good" / "000.png"]
    assert result.metrics["categories"]["nut"]["n_good"] == 1
    assert result.metrics["categories"]["linen"]["n_defect"] == 2
    assert "is a mask of 9x9, its picture is 64x64" in result.metrics["unreadable"][0]


def test_categories_that_the_model_does_not_know_are_left_out_unless_named(
    inspector: Inspector, data: Path
) -> None:
    shutil.copytree(data / "nut", data / "strange")
    known = ["capsule", "linen", "nut", "veneer"]
    assert list(evaluate(inspector, data).metrics["categories"]) == known
    assert list(evaluate(inspector, data, categories=["strange"]).metrics["categories"]) == ["strange"]
    assert list(evaluate(inspector, data / "strange").metrics["categories"]) == ["strange"]
