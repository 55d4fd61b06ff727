"""Figures of images, pixels and kinds of defect, and why one is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from understudy import Evaluation, InputError, Inspector
from understudy import evaluate as evaluation
from understudy.data.records import Record
from understudy.evaluate import NAMES, evaluate, read_masks
from understudy.evaluate.figures import IMAGE_NAMES, PIXEL_NAMES, Figures, mean_of
from understudy.metrics import aupro, by_region
from understudy.runtime.decision import Thresholds
from understudy.types import Verdict


def maps_and_masks(inspector: Inspector, result: Evaluation) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Scored once more, at the model's size."""
    scored = inspector.scorer.score([t.record.path for t in result.tested])
    maps = [found.anomaly_map for found in scored]  # type: ignore[union-attr]
    marked = [read_masks(t.record, (64, 64)) for t in result.tested]
    return maps, [mask for mask in marked if mask is not None]


def judge_by(inspector: Inspector, thresholds: Thresholds, **categories: Thresholds) -> None:
    assert inspector.calibration
    changes = {"thresholds": thresholds, "categories": categories}
    inspector.calibration = inspector.calibration.model_copy(update=changes)


def test_pixel_metrics_are_over_all_pixels_of_a_category(inspector: Inspector, factory: Path) -> None:
    result = evaluate(inspector, factory, categories=["nut"])
    maps, masks = maps_and_masks(inspector, result)
    figures = result.metrics["categories"]["nut"]
    labels, scores = np.ravel(masks), np.ravel(maps)
    assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert figures["pixel_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
    assert figures["aupro"] == pytest.approx(aupro(maps, masks), abs=1e-6)


def test_pixels_of_each_kind_are_measured_with_the_good_pictures_alone(
    inspector: Inspector, factory: Path
) -> None:
    result = evaluate(inspector, factory, categories=["nut"])
    maps, masks = maps_and_masks(inspector, result)
    kinds = [t.record.defect for t in result.tested]
    for kind, figures in result.metrics["categories"]["nut"]["defects"].items():
        of_kind = [i for i, k in enumerate(kinds) if k in (kind, "good")]
        scores, labels = (np.ravel([found[i] for i in of_kind]) for found in (maps, masks))
        assert figures["pixel_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        expected = aupro([maps[i] for i in of_kind], [masks[i] for i in of_kind])
        assert figures["aupro"] == pytest.approx(expected, abs=1e-6)


def test_the_limit_of_aupro_can_be_chosen(inspector: Inspector, factory: Path) -> None:
    result = evaluate(inspector, factory, categories=["nut"], aupro_limit=0.05)
    assert result.metrics["aupro_limit"] == 0.05
    expected = aupro(*maps_and_masks(inspector, result), limit=0.05)
    assert result.metrics["categories"]["nut"]["aupro"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="above 0 and at most 1, got 2"):
        evaluate(inspector, factory, aupro_limit=2)


def test_each_kind_of_defect_is_measured_alone_against_the_good_pictures(
    inspector: Inspector, kit: Path
) -> None:
    result = evaluate(inspector, kit, categories=["kit"])
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


def test_a_kind_of_defect_has_no_figure_without_good_pictures(inspector: Inspector, kit: Path) -> None:
    shutil.rmtree(kit / "test" / "good")
    figures = evaluate(inspector, kit, categories=["kit"]).metrics["categories"]["kit"]["defects"]
    assert figures["logical_anomalies"]["image_auroc"] is None
    assert figures["logical_anomalies"]["n"] == 8


def test_recall_of_a_kind_is_the_share_that_fails(inspector: Inspector, kit: Path) -> None:
    found = evaluate(inspector, kit, categories=["kit"])
    scores = sorted(t.score for t in found.tested if not t.record.is_good)
    thresholds = Thresholds(
        fail_above=scores[-3], review_above=scores[3], false_alarm_rate=0.1, review_rate=0.2, n_good=9
    )
    judge_by(inspector, thresholds)
    result = evaluate(inspector, kit, categories=["kit"])
    kinds = result.metrics["categories"]["kit"]["defects"]
    assert sum(k["recall"] * k["n"] for k in kinds.values()) == pytest.approx(2)
    assert sum(k["flagged"] * k["n"] for k in kinds.values()) == pytest.approx(len(scores) - 4)
    inspector.calibration = None
    uncalibrated = evaluate(inspector, kit, categories=["kit"])
    for figures in uncalibrated.metrics["categories"]["kit"]["defects"].values():
        assert figures["recall"] is figures["flagged"] is None


def test_good_pictures_alone_and_unmarked_defects_have_the_figures_that_can_be_told(
    inspector: Inspector, data: Path
) -> None:
    for defect in [d for d in (data / "nut" / "test").iterdir() if d.name != "good"]:
        shutil.rmtree(defect)
    shutil.rmtree(data / "capsule" / "ground_truth")
    categories = evaluate(inspector, data).metrics["categories"]
    assert all(categories["nut"][name] is None for name in NAMES)
    assert categories["nut"]["missing"] == dict.fromkeys(NAMES, "no defective test pictures")
    assert categories["capsule"]["image_auroc"] is not None
    assert categories["capsule"]["missing"] == dict.fromkeys(PIXEL_NAMES, "no defect is marked by a mask")
    assert categories["capsule"]["pixel_auroc"] is categories["capsule"]["aupro"] is None
    assert categories["capsule"]["n_masks"] == 0


def test_a_data_set_without_any_defect_is_evaluated_all_the_same(inspector: Inspector, data: Path) -> None:
    for defect in [d for d in data.glob("*/test/*") if d.name != "good"]:
        shutil.rmtree(defect)
    metrics = evaluate(inspector, data).metrics
    assert all(value is None for value in [*metrics["mean"].values(), *metrics["worst"].values()])
    assert metrics["pooled"]["missing"] == dict.fromkeys(NAMES, "no defective test pictures")
    assert json.loads(json.dumps(metrics)) == metrics


def test_defects_alone_have_no_image_metrics(inspector: Inspector, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test" / "good")
    figures = evaluate(inspector, data, categories=["nut"]).metrics["categories"]["nut"]
    assert figures["missing"] == dict.fromkeys(IMAGE_NAMES, "no good test pictures")
    assert figures["image_auroc_interval"] is None
    assert figures["pixel_auroc"] is not None


def test_a_figure_that_is_missing_for_unreadable_pictures_says_so(inspector: Inspector, data: Path) -> None:
    for path in (data / "nut" / "test").glob("*/*.png"):
        path.write_bytes(b"broken")
    missing = evaluate(inspector, data).metrics["categories"]["nut"]["missing"]
    assert set(missing.values()) == {"no test pictures (5 could not be read)"}


def test_false_alarms_and_recognition_are_counted_per_category_and_over_all(
    inspector: Inspector, factory: Path, data: Path
) -> None:
    for_all = Thresholds(fail_above=-1, review_above=-1, false_alarm_rate=0.1, review_rate=0.1, n_good=9)
    judge_by(inspector, for_all, nut=for_all.model_copy(update={"fail_above": 1e9}))
    assert inspector.calibration
    near = inspector.calibration.distances.model_copy(update={"overall": 2.0, "categories": {"nut": 0.0}})
    inspector.calibration = inspector.calibration.model_copy(update={"distances": near})
    metrics = evaluate(inspector, factory, categories=["linen", "nut"]).metrics
    linen, nut, pooled = metrics["categories"]["linen"], metrics["categories"]["nut"], metrics["pooled"]
    assert (linen["false_alarm_rate"], nut["false_alarm_rate"], pooled["false_alarm_rate"]) == (1, 0, 0.5)
    assert linen["recognition"] == {"right": 1, "wrong": 0, "unknown": 0}
    assert nut["recognition"] == {"right": 0, "wrong": 1, "unknown": 0}  # nothing is near enough to a nut
    assert pooled["recognition"] == {"right": 0.5, "wrong": 0.5, "unknown": 0}
    (data / "nut").rename(data / "strange")
    figures = evaluate(inspector, data, categories=["strange"]).metrics["categories"]["strange"]
    assert figures["recognition"] is None
    none = inspector.calibration.distances.model_copy(update={"overall": -1.0})
    inspector.calibration = inspector.calibration.model_copy(update={"distances": none})
    assert evaluate(inspector, factory, categories=["nut"]).metrics["pooled"]["recognition"]["unknown"] == 1
    inspector.calibration = None
    uncalibrated = evaluate(inspector, factory, categories=["nut"]).metrics["pooled"]
    assert uncalibrated["false_alarm_rate"] is None


def judged(score: float, kind: str = "good", verdict: Verdict | None = None) -> evaluation.Tested:
    return evaluation.Tested(Record("nut", "test", kind, Path("any.png")), score, verdict, "right")


def test_a_picture_without_marks_counts_among_the_images_and_not_among_the_pixels() -> None:
    found = Figures(exact=True, limit=0.3)
    mask = np.array([[True, False], [False, False]])
    found.add(judged(0.1), by_region(np.array([[0.1, 0.0], [0.0, 0.0]], np.float32), np.zeros((2, 2), bool)))
    found.add(judged(0.9, "chip"), None)
    numbers = found.numbers()
    assert (numbers["n_good"], numbers["n_defect"], numbers["n_masks"]) == (1, 1, 0)
    assert numbers["image_auroc"] == 1
    assert numbers["missing"] == dict.fromkeys(PIXEL_NAMES, "no defect is marked by a mask")
    found.add(judged(0.8, "chip"), by_region(np.array([[0.8, 0.0], [0.0, 0.0]], np.float32), mask))
    numbers = found.numbers()
    assert (numbers["n_defect"], numbers["n_masks"], numbers["missing"]) == (2, 1, {})
    assert numbers["pixel_auroc"] == numbers["aupro"] == 1


def test_a_kind_that_nobody_judged_has_no_recall() -> None:
    found = Figures(exact=True, limit=0.3)
    for one in (judged(0.1, "good", "PASS"), judged(0.9, "chip", "FAIL"), judged(0.5, "chip", "REVIEW")):
        found.add(one, None)
    found.add(judged(0.7, "rust"), None)
    kinds = found.by_defect()
    assert list(kinds) == ["chip", "rust"]
    assert (kinds["chip"]["recall"], kinds["chip"]["flagged"], kinds["chip"]["n"]) == (0.5, 1, 2)
    assert kinds["rust"]["recall"] is kinds["rust"]["flagged"] is None
    assert found.numbers()["false_alarm_rate"] == 0


def test_a_mean_is_over_what_is_known() -> None:
    assert mean_of([1.0, None, 0.5]) == 0.75
    assert mean_of([None]) is None
