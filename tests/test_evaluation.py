"""From pictures to metrics.json: what is counted, at which resolution, and what is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from understudy import InputError, TrainedModel, evaluate
from understudy.data.factory import LogicalPlan, write_logical
from understudy.evaluation import NAMES
from understudy.report import write_report


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(factory, tmp_path / "data"))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    write_logical(tmp_path, LogicalPlan(train=1, validation=0, good=3, each_defect=2, size=64))
    return tmp_path / "kit"


def test_the_metrics_have_the_schema_that_scripts_rely_on(model: TrainedModel, factory: Path) -> None:
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
        assert list(figures) == [*NAMES, "n_good", "n_defect", "n_masks", "defects"]
        assert (figures["n_good"], figures["n_defect"], figures["n_masks"]) == (2, 3, 3)
        assert all(0 <= figures[name] <= 1 for name in NAMES)
    assert json.loads(json.dumps(metrics)) == metrics
    assert metrics["map_resolution"] == "64x64"


def test_mean_worst_and_pooled_are_three_different_things(model: TrainedModel, factory: Path) -> None:
    result = evaluate(model, factory)
    figures = {c: f["image_auroc"] for c, f in result.metrics["categories"].items()}
    assert result.metrics["mean"]["image_auroc"] == pytest.approx(np.mean(list(figures.values())))
    category, value = result.metrics["worst"]["image_auroc"]
    assert value == min(figures.values()) == figures[category]
    labels = [not t.record.is_good for t in result.tested]
    scores = [t.score for t in result.tested]
    assert result.metrics["pooled"]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))


def test_pixel_auroc_is_over_all_pixels_of_a_category(model: TrainedModel, factory: Path) -> None:
    result = evaluate(model, factory, ["nut"])
    maps = np.concatenate([t.anomaly_map.ravel() for t in result.tested])
    masks = np.concatenate([t.mask.ravel() for t in result.tested if t.mask is not None])
    found = result.metrics["categories"]["nut"]["pixel_auroc"]
    assert found == pytest.approx(roc_auc_score(masks, maps))


def test_each_kind_of_defect_is_measured_alone_against_the_good_pictures(
    model: TrainedModel, kit: Path
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


def test_a_kind_of_defect_has_no_figure_without_good_pictures(model: TrainedModel, kit: Path) -> None:
    shutil.rmtree(kit / "test" / "good")
    figures = evaluate(model, kit, ["kit"]).metrics["categories"]["kit"]["defects"]
    assert figures["logical_anomalies"] == {"image_auroc": None, "n": 8}


def test_several_masks_of_a_picture_are_taken_together(model: TrainedModel, kit: Path) -> None:
    tested = evaluate(model, kit, ["kit"]).tested
    several = [t for t in tested if len(t.record.masks) > 1]
    assert several
    for t in several:
        one_by_one = [np.array(Image.open(path)) > 0 for path in t.record.masks]
        assert t.mask is not None
        assert (t.mask == np.logical_or.reduce(one_by_one)).all()


def test_a_mask_that_marks_nothing_is_left_out_by_name(model: TrainedModel, kit: Path) -> None:
    empty = kit / "ground_truth" / "logical_anomalies" / "000" / "000.png"
    Image.new("L", (64, 64)).save(empty)
    result = evaluate(model, kit, ["kit"])
    assert [e.path for e in result.broken] == [empty]
    assert "is a mask that marks nothing" in str(result.broken[0])


def test_maps_can_be_scored_at_the_masks_own_resolution(model: TrainedModel, data: Path) -> None:
    folder = data / "nut"
    for path in [*folder.glob("test/*/*.png"), *folder.glob("ground_truth/*/*.png")]:
        Image.open(path).resize((96, 80), Image.Resampling.NEAREST).save(path)
    result = evaluate(model, data, ["nut"], map_resolution="mask")
    assert {t.anomaly_map.shape for t in result.tested} == {(80, 96)}
    assert result.metrics["map_resolution"] == "mask"
    assert {t.anomaly_map.shape for t in evaluate(model, data, ["nut"]).tested} == {(64, 64)}


def test_a_category_without_tests_has_no_figures(model: TrainedModel, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test")
    metrics = evaluate(model, data).metrics
    assert all(metrics["categories"]["nut"][name] is None for name in NAMES)
    assert metrics["categories"]["nut"]["n_good"] == 0
    assert metrics["mean"]["image_auroc"] is not None
    assert metrics["worst"]["image_auroc"][0] != "nut"


def test_good_pictures_alone_and_unmarked_defects_have_the_figures_that_can_be_told(
    model: TrainedModel, data: Path
) -> None:
    for defect in [d for d in (data / "nut" / "test").iterdir() if d.name != "good"]:
        shutil.rmtree(defect)
    shutil.rmtree(data / "capsule" / "ground_truth")
    categories = evaluate(model, data).metrics["categories"]
    assert all(categories["nut"][name] is None for name in NAMES)
    assert categories["capsule"]["image_auroc"] is not None
    assert categories["capsule"]["pixel_auroc"] is categories["capsule"]["aupro"] is None
    assert categories["capsule"]["n_masks"] == 0


def test_no_test_pictures_at_all_is_an_error(model: TrainedModel, data: Path) -> None:
    for folder in data.iterdir():
        shutil.rmtree(folder / "test")
    with pytest.raises(InputError, match="no test pictures"):
        evaluate(model, data)


def test_broken_pictures_and_masks_of_another_size_are_left_out_by_name(
    model: TrainedModel, data: Path
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"broken")
    mask = data / "linen" / "ground_truth" / "hole" / "000_mask.png"
    Image.new("L", (9, 9)).save(mask)
    result = evaluate(model, data)
    assert [e.path for e in result.broken] == [mask, data / "nut" / "test" / "good" / "000.png"]
    assert result.metrics["categories"]["nut"]["n_good"] == 1
    assert result.metrics["categories"]["linen"]["n_defect"] == 2
    assert "is a mask of 9x9, its picture is 64x64" in result.metrics["unreadable"][0]


def test_the_report_is_one_file_with_every_category_and_no_outside_address(
    model: TrainedModel, factory: Path, tmp_path: Path
) -> None:
    result = evaluate(model, factory)
    write_report(tmp_path / "report.html", model, result)
    page = (tmp_path / "report.html").read_text()
    assert all(f"<h2>{category}</h2>" in page for category in ("capsule", "linen", "nut", "veneer"))
    assert page.count("<figure") == 4 * 5
    assert page.count('src="data:image/jpeg;base64,') == 4 * (2 * 2 + 3 * 3)  # two or three a card
    assert 'src="http' not in page
    assert 'href="' not in page
    defects = sum(not t.record.is_good for t in result.tested)
    assert f"Of {defects} defective test pictures" in page


def test_the_report_tells_the_kinds_of_defect_apart(model: TrainedModel, kit: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", model, evaluate(model, kit, ["kit"]))
    page = (tmp_path / "report.html").read_text()
    assert "<td>logical anomalies</td>" in page
    assert "<td>structural anomalies</td>" in page


def test_categories_that_the_model_does_not_know_are_left_out_unless_named(
    model: TrainedModel, data: Path
) -> None:
    shutil.copytree(data / "nut", data / "strange")
    known = ["capsule", "linen", "nut", "veneer"]
    assert list(evaluate(model, data).metrics["categories"]) == known
    assert list(evaluate(model, data, ["strange"]).metrics["categories"]) == ["strange"]
    assert list(evaluate(model, data / "strange").metrics["categories"]) == ["strange"]
