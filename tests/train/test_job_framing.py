"""Padding, tiles and regions of interest, from training to verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from understudy import InputError, Inspector, Model, PictureError, fit, load
from understudy.cli import main
from understudy.data.layouts import open_pictures
from understudy.methods import METHODS
from understudy.progress import Reporter
from understudy.runtime.scoring import Scored
from understudy.runtime.walk import find_pictures

QUICK = {"image_size": 64, "max_steps": 4, "batch_size": 4, "precision": "32", "device": "cpu"}
QUICK |= {"strides": (8, 16), "holdout": 0.34, "false_alarm_rate": 0.2}


TEACHERS = {
    "dinomaly": {"teacher": "test_vit", "teacher_weights": "random", "strides": (16, 16)},
    "uniad": {"settings": {"neighbours": 3, "depth": 1}},  # for four cells along a side
}


def lower_half(path: Path, size: tuple[int, int] = (64, 64)) -> Path:
    """A mask by which the upper half does not count."""
    mask = np.zeros(size, bool)
    mask[size[0] // 2 :] = True
    Image.fromarray(mask).save(path)
    return path


def rewritten(data: Path, out: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A copy of a data set with every picture changed; masks stay."""
    shutil.copytree(data, out)
    for path in find_pictures(out):
        if "ground_truth" not in path.parts:
            Image.fromarray(change(np.array(Image.open(path)))).save(path)
    return out


def scored(model: Model, folder: Path) -> list[Scored]:
    return [s for s in model.inspector.scorer.score(find_pictures(folder)) if isinstance(s, Scored)]


def noisy_above(picture: np.ndarray) -> np.ndarray:
    changed = picture.copy()
    half = changed.shape[0] // 2
    changed[:half] = np.random.default_rng(picture[half:].sum()).integers(0, 256, changed[:half].shape)
    return changed


RESIZED = [{"image_size": 48}, {"image_size": 96, "keep_aspect": True}, {"tile": 40, "image_size": 32}]


@pytest.mark.parametrize(("method", "framing"), [*((m, {}) for m in METHODS), *(("rd", f) for f in RESIZED)])
def test_nothing_shown_where_nothing_counts_changes_the_training_or_a_result(
    method: str, framing: dict[str, object], factory: Path, tmp_path: Path
) -> None:
    noisy = rewritten(factory, tmp_path / "noisy", noisy_above)
    roi = lower_half(tmp_path / "roi.png")
    clean, other = (
        fit(data, tmp_path / name, method=method, roi=roi, **QUICK | TEACHERS.get(method, {}) | framing)
        for data, name in ((factory, "clean-model"), (noisy, "noisy-model"))
    )
    for key, value in clean.distiller.learned().items():
        assert torch.equal(value, other.distiller.learned()[key]), key
    assert clean.thresholds == other.thresholds
    for ours, theirs in zip(scored(clean, factory / "nut"), scored(clean, noisy / "nut"), strict=True):
        assert ours.score == theirs.score
        np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)
        ignored = ours.anomaly_map[: ours.anomaly_map.shape[0] // 2]
        assert ignored.max() == ours.anomaly_map.min()


def test_metrics_count_no_pixel_that_does_not_count(factory: Path, tmp_path: Path) -> None:
    model = fit(factory, tmp_path / "model", roi=lower_half(tmp_path / "roi.png"), **QUICK)
    before = model.evaluate(factory, progress=False).metrics
    marked = tmp_path / "marked"
    shutil.copytree(factory, marked)
    for path in find_pictures(marked):
        if "ground_truth" in path.parts:
            mask = np.array(Image.open(path))
            if mask[32:].any():
                mask[:32] = 255 - mask[:32]
                Image.fromarray(mask).save(path)
    assert model.evaluate(marked, progress=False).metrics["mean"] == before["mean"]
    assert before["mean"]["pixel_auroc"] is not None


def test_each_category_may_have_its_own_region(factory: Path, tmp_path: Path) -> None:
    folder = tmp_path / "rois"
    folder.mkdir()
    lower_half(folder / "nut.png")
    model = fit(factory, tmp_path / "model", roi=folder, **QUICK)
    nut = find_pictures(factory / "nut" / "test")
    linen = find_pictures(factory / "linen" / "test")
    said = list(
        model.inspector.scorer.score([*nut, *linen], categories=["nut"] * len(nut) + ["linen"] * len(linen))
    )
    flat = [bool(s.anomaly_map[:32].max() == s.anomaly_map.min()) for s in said if isinstance(s, Scored)]
    assert flat == [True] * len(nut) + [False] * len(linen)
    recognised = [s for s in model.inspector.scorer.score([*nut, *linen]) if isinstance(s, Scored)]
    for ours, theirs in zip(recognised, said, strict=True):
        assert isinstance(theirs, Scored)
        if model.inspector.scorer.recognise(ours.embedding) is not None:
            np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)


def test_a_padded_picture_has_a_map_of_its_own_aspect_and_padding_never_scores(
    factory: Path, tmp_path: Path
) -> None:
    wide = rewritten(factory, tmp_path / "wide", lambda picture: picture[:40])
    for mask in (tmp_path / "wide").glob("*/ground_truth/*/*.png"):
        Image.fromarray(np.array(Image.open(mask))[:40]).save(mask)
    model = fit(wide, tmp_path / "model", keep_aspect=True, **QUICK)
    for found in scored(model, wide / "nut" / "test"):
        assert found.anomaly_map.shape == (40, 64)
        (again,) = replace(model.inspector.scorer, usual=None).score([found.path])
        assert isinstance(again, Scored)
        usual = model.inspector.scorer.usual
        assert usual is not None
        product = model.inspector.scorer.nearest(again.embedding)
        assert usual[product].spread.shape == (10, 16)  # cells of four pixels, none of padding
        assert found.score == pytest.approx(usual[product].score(again.anomaly_map, None, 64), abs=1e-3)
    assert model.evaluate(wide, progress=False).metrics["map_resolution"] == "64 at most"
    (both,) = (f for f in model.predict(find_pictures(wide / "nut" / "test")[0]))
    assert both.ok
    assert all(r.bottom <= 40 and r.right <= 64 for r in both.regions)


def test_a_model_of_tiles_learns_scores_and_is_saved_as_such(factory: Path, tmp_path: Path) -> None:
    large = rewritten(factory, tmp_path / "large", lambda p: np.kron(p, np.ones((2, 3, 1), np.uint8)))
    for mask in (tmp_path / "large").glob("*/ground_truth/*/*.png"):
        Image.fromarray(np.kron(np.array(Image.open(mask)), np.ones((2, 3), np.uint8))).save(mask)
    said: list[str] = []
    model = fit(large, tmp_path / "model", tile=64, overlap=16, progress=Reporter(say=said.append), **QUICK)
    n = len(open_pictures(large).train())
    kept = n - model.manifest.training.held_out
    assert any(f"{kept * 3 * 4} tiles of 64 pixels" in line for line in said)
    again = load(tmp_path / "model", "cpu")
    assert again.preprocess.tile == 64
    for ours, theirs in zip(scored(model, large / "nut"), scored(again, large / "nut"), strict=True):
        assert ours.anomaly_map.shape == (128, 192)
        np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)
    metrics = again.evaluate(large, progress=False).metrics
    assert metrics["map_resolution"] == "picture x 1"
    assert again.calibrate(large, false_alarm_rate=0.2, progress=False).thresholds.n_good > 0


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_learns_and_scores_tiles_with_a_region(
    method: str, factory: Path, tmp_path: Path
) -> None:
    options = QUICK | {"image_size": 32, "tile": 40, "overlap": 8, "max_steps": 2} | TEACHERS.get(method, {})
    roi = lower_half(tmp_path / "roi.png")
    model = fit(factory, tmp_path / "model", method=method, categories=("nut",), roi=roi, **options)
    (found, *_) = scored(model, factory / "nut" / "test")
    assert found.anomaly_map.shape == (51, 51)
    assert np.isfinite(found.anomaly_map).all()
    assert np.ptp(found.anomaly_map[30:]) > 0


@pytest.mark.usefixtures("shallow")
def test_an_exported_model_of_tiles_and_regions_says_what_it_says_in_torch(
    factory: Path, tmp_path: Path
) -> None:
    rois = tmp_path / "rois"
    rois.mkdir()
    lower_half(rois / "nut.png")
    options = QUICK | {"image_size": 32, "tile": 40, "overlap": 8, "categories": ("linen", "nut")}
    model = fit(factory, tmp_path / "model", method="rd", roi=rois, **options)
    model.export(tmp_path / "exported", data=factory, progress=False)
    light = Inspector.load(tmp_path / "exported", threads=1)
    pictures = [factory / "nut" / "test", factory / "linen" / "test"]
    for ours, theirs in zip(model.predict(pictures), light.predict(pictures), strict=True):
        assert ours.ok
        assert theirs.ok
        assert (ours.path, ours.category, ours.size) == (theirs.path, theirs.category, theirs.size)
        np.testing.assert_allclose(ours.anomaly_map, theirs.anomaly_map, atol=1e-4)
    in_nuts = next(iter(light.predict(pictures[:1], category="nut")))
    assert in_nuts.ok
    assert in_nuts.anomaly_map[:20].max() == in_nuts.anomaly_map.min()


def test_features_kept_of_tiles_with_a_region_give_the_same_student(factory: Path, tmp_path: Path) -> None:
    roi = lower_half(tmp_path / "roi.png")
    where = {
        "no": "off",
        "memory": "auto",
        "files": str(tmp_path / "features"),
        "again": str(tmp_path / "features"),
    }
    models = {
        name: fit(
            factory,
            tmp_path / name,
            method="rd",
            tile=48,
            overlap=8,
            roi=roi,
            cache_features=kept,
            **QUICK | {"image_size": 32, "strides": (8, 16), "max_steps": 20},
        )
        for name, kept in where.items()
    }
    reference = models.pop("no").distiller.learned()
    for name, model in models.items():
        for key, value in model.distiller.learned().items():
            torch.testing.assert_close(value, reference[key], msg=f"{name}: {key}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 64, "overlap": 40}, "at most half of the tile's 64"),
        ({"overlap": 4}, "--overlap needs --tile"),
        ({"tile": 64, "keep_aspect": True}, "exclude each other"),
        ({"tile": 8}, "greater than or equal to 32"),
        ({"roi": "nowhere.png"}, "does not exist"),
    ],
)
def test_framings_that_make_no_sense_are_refused(
    options: dict[str, object], message: str, factory: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        fit(factory, tmp_path / "model", **QUICK | options)
    assert not (tmp_path / "model" / "manifest.json").exists()


def test_a_region_of_another_aspect_than_the_pictures_is_refused_before_any_training(
    factory: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"64x64.*32x64.*another aspect"):
        fit(factory, tmp_path / "model", roi=lower_half(tmp_path / "roi.png", (64, 32)), **QUICK)


def test_a_region_that_leaves_no_pixel_at_the_models_size_is_refused_before_any_training(
    factory: Path, tmp_path: Path
) -> None:
    thin = np.zeros((64, 64), bool)
    thin[7] = True
    Image.fromarray(thin).save(tmp_path / "roi.png")
    with pytest.raises(InputError, match=r"no pixel left of its region of interest at 32x32; draw a larger"):
        fit(factory, tmp_path / "model", roi=tmp_path / "roi.png", **QUICK | {"image_size": 32})
    assert not (tmp_path / "model" / "manifest.json").exists()


@pytest.mark.parametrize("method", ["snl-rd", "dskd"])
def test_a_region_smaller_than_any_feature_still_trains_and_scores(
    method: str, factory: Path, tmp_path: Path
) -> None:
    """Of a level without a half covered cell, the best covered one counts."""
    pixel = np.zeros((64, 64), bool)
    pixel[21, 42] = True
    Image.fromarray(pixel).save(tmp_path / "roi.png")
    model = fit(factory, tmp_path / "model", method=method, roi=tmp_path / "roi.png", **QUICK)
    found = scored(model, factory / "nut" / "test")
    assert len({s.score for s in found}) > 1
    assert all(np.isfinite(s.score) and np.isfinite(s.anomaly_map).all() for s in found)
    assert [s.score for s in found].index(max(s.score for s in found)) == int(
        np.argmax([s.anomaly_map[21, 42] for s in found])
    )  # that pixel alone decides


def test_interference_is_not_diagnosed_where_pixels_may_not_count(factory: Path, tmp_path: Path) -> None:
    model = fit(factory, tmp_path / "model", roi=lower_half(tmp_path / "roi.png"), **QUICK)
    with pytest.raises(InputError, match="without --tile, --keep-aspect and --roi"):
        model.diagnose(factory, progress=False)


def test_a_picture_that_does_not_fit_the_region_is_reported_and_the_rest_is_scored(
    factory: Path, tmp_path: Path
) -> None:
    model = fit(factory, tmp_path / "model", roi=lower_half(tmp_path / "roi.png"), **QUICK)
    square = find_pictures(factory / "nut" / "test")[0]
    Image.open(square).resize((64, 48)).save(tmp_path / "wide.png")
    results = list(model.predict([square, tmp_path / "wide.png", square]))
    assert [r.ok for r in results] == [True, False, True]


def test_the_command_line_takes_tiles_and_regions(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roi, out = lower_half(tmp_path / "roi.png"), tmp_path / "model"
    options = ["--max-steps", "8", "--batch-size", "4", "--image-size", "32", "--strides", "8,16"]
    options += ["--tile", "48", "--overlap", "8", "--roi", str(roi), "--holdout", "0.34"]
    assert main(["fit", str(factory), "--out", str(out), "--false-alarm-rate", "0.2", *options]) == 0
    assert "tiles of 48 pixels" in capsys.readouterr().err
    picture = find_pictures(factory / "nut" / "test")[0]
    assert main(["predict", str(out), str(picture)]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] in ("PASS", "REVIEW", "FAIL")


def test_a_small_defect_of_a_large_picture_is_found_in_tiles_and_lost_without(tmp_path: Path) -> None:
    options = {"method": "rd", "image_size": 128, "batch_size": 8, "max_steps": 40, "holdout": 0}
    for kind, size in (("pieces", (576, 768)), ("sheets", (3000, 4000))):
        (tmp_path / kind / "cloth").mkdir(parents=True)
        for i in range(2):
            Image.fromarray(cloth(i, size)).save(tmp_path / kind / "cloth" / f"{i}.png", compress_level=1)
    clean = cloth(9, (3000, 4000))
    torn = clean.copy()
    torn[1700:1720, 2600:2620] //= 3

    tiled = fit(tmp_path / "pieces", tmp_path / "tiled", tile=128, overlap=16, device="cpu", **options)
    found = only(tiled.inspector.scorer.score([torn]))
    row, column = np.unravel_index(np.argmax(found.anomaly_map), (3000, 4000))
    assert abs(row - 1710) < 20
    assert abs(column - 2610) < 20
    elsewhere = found.anomaly_map.copy()
    elsewhere[1500:1900, 2400:2800] = 0
    assert found.anomaly_map.max() > 1.2 * elsewhere.max()
    assert found.score > only(tiled.inspector.scorer.score([clean])).score + 3

    whole = fit(tmp_path / "sheets", tmp_path / "whole", device="cpu", **options).inspector.scorer
    assert only(whole.score([torn])).score < only(whole.score([clean])).score + 0.5


def cloth(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A weave, lighter and darker in places."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    weave = 120 + 25 * np.sin(x / 3 + 6 * rng.random()) + 25 * np.sin(y / 4 + 6 * rng.random())
    coarse = rng.normal(0, 15, (size[0] // 40, size[1] // 40)).astype(np.float32)
    weave += np.asarray(Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return np.repeat(weave.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def only(results: Iterable[Scored | PictureError]) -> Scored:
    (found,) = results
    assert isinstance(found, Scored)
    return found
