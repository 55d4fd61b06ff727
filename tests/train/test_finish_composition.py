"""With logical=true a picture whose parts are whole, but too few or too many, is found by its composition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from understudy import InputError, Inspector, Model, fit
from understudy.progress import Reporter, untimed
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.usual_composition import CODES
from understudy.train.finish import fill_composition

SIDE, FIELDS = 128, 2
QUICK: dict[str, Any] = {
    "image_size": SIDE,
    "max_steps": 12,
    "batch_size": 8,
    "precision": "32",
    "device": "cpu",
}
QUICK |= {"teacher": "test_resnet", "teacher_weights": "random", "strides": (8, 16)}
QUICK |= {"holdout": 0.25, "false_alarm_rate": 0.05, "method": "rd"}
ON: dict[str, object] = {"codebook": 0, "logical": True}
OFF: dict[str, object] = {"codebook": 0}


def tray(discs: int, seed: int) -> Image.Image:
    """Discs on a tray of four fields; which fields have one is chance."""
    rng, wide = np.random.default_rng([discs, seed]), SIDE // FIELDS
    picture = np.full((SIDE, SIDE, 3), 90.0) + rng.normal(size=(SIDE, SIDE, 1))
    y, x = np.mgrid[:SIDE, :SIDE]
    for field in rng.permutation(FIELDS**2)[:discs]:
        row, column = divmod(int(field), FIELDS)
        down, right = rng.uniform(-2, 2, 2)
        away = np.hypot(y - (row + 0.5) * wide - down, x - (column + 0.5) * wide - right)
        picture[away < 0.37 * wide] = (200, 180, 60)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def trays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good trays have three discs; those with two or four are not in order."""
    root = tmp_path_factory.mktemp("trays")
    for folder, discs, n in (
        ("train/good", 3, 64),
        ("test/good", 3, 12),
        ("test/two", 2, 6),
        ("test/four", 4, 6),
    ):
        place = root / "tray" / folder
        place.mkdir(parents=True)
        for i in range(n):
            tray(discs, i + (1000 if "test" in folder else 0)).save(place / f"{i:03}.png")
    return root


@pytest.fixture(scope="module")
def logical(trays: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    out = tmp_path_factory.mktemp("logical") / "m"
    return Model.fit(trays, out=out, settings=ON, progress=False, **QUICK)


def scores(model: Model | Inspector, folder: Path) -> list[float]:
    return [r.score for r in model.predict(folder, category="tray")]


def test_a_missing_or_a_surplus_part_scores_above_every_good_picture(logical: Model, trays: Path) -> None:
    good = scores(logical, trays / "tray/test/good")
    wrong = scores(logical, trays / "tray/test/two") + scores(logical, trays / "tray/test/four")

    assert min(wrong) > max(good)


def test_the_map_alone_does_not_find_them(logical: Model, trays: Path, tmp_path: Path) -> None:
    plain = Model.fit(trays, out=tmp_path / "m", settings=OFF, progress=False, **QUICK)

    assert plain.distiller.composition is None
    good = scores(plain, trays / "tray/test/good")
    wrong = scores(plain, trays / "tray/test/two") + scores(plain, trays / "tray/test/four")
    assert np.mean([w > max(good) for w in wrong]) < 0.5
    first = next(iter((trays / "tray/test/two").glob("*.png")))
    for a, b in zip(logical.predict(first), plain.predict(first), strict=True):
        np.testing.assert_array_equal(a.anomaly_map, b.anomaly_map)  # a composition has no place


def test_thresholds_rest_on_the_score_that_counts_the_composition(logical: Model, trays: Path) -> None:
    verdicts = {
        k: [r.verdict for r in logical.predict(trays / f"tray/test/{k}", category="tray")]
        for k in ("good", "two", "four")
    }

    assert verdicts["good"].count("FAIL") <= 2
    assert verdicts["two"].count("FAIL") + verdicts["four"].count("FAIL") >= 10


def test_a_good_picture_scores_about_0_plus_or_minus_1(logical: Model, trays: Path) -> None:
    good = scores(logical, trays / "tray/test/good")

    assert abs(np.mean(good)) < 1.5
    assert 0.3 < np.std(good) < 2.5


def test_a_loaded_and_an_exported_model_score_alike(logical: Model, trays: Path, tmp_path: Path) -> None:
    folders = [trays / "tray/test/good", trays / "tray/test/two"]
    expected = [s for folder in folders for s in scores(logical, folder)]

    again = Model.load(logical.inspector.folder, "cpu")
    assert [s for folder in folders for s in scores(again, folder)] == expected
    logical.export(tmp_path / "line", data=trays, progress=False)
    found = [s for folder in folders for s in scores(Inspector.load(tmp_path / "line"), folder)]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_calibrating_anew_promises_by_the_whole_score(logical: Model, trays: Path) -> None:
    said: list[str] = []
    again = Model.load(logical.inspector.folder, "cpu")

    again.calibrate(trays, false_alarm_rate=0.1, min_area=4, progress=Reporter(say=said.append))

    assert again.calibration is not None
    assert again.calibration.scores["tray"] == tuple(sorted(again.calibration.scores["tray"]))
    assert any("at most 10 % of good pictures fail" in line for line in said)


def test_codes_of_a_product_are_the_same_whatever_other_products_are_there(
    logical: Model, trays: Path
) -> None:
    from understudy.data.store import PictureStore
    from understudy.methods import build, settings_for

    files = sorted((trays / "tray/train/good").glob("*.png"))[:8]
    look: Preprocess = logical.preprocess
    codes = []
    for categories in (["a"] * 8, ["a"] * 4 + ["b"] * 4, ["a"] * 4 + ["b"] * 2 + ["c"] * 2):
        chosen = files if len(set(categories)) > 1 else files[:4]
        distiller = build("rd", logical.distiller.teacher, settings_for("rd", ON))
        store = PictureStore(chosen, look, 0, categories=categories[: len(chosen)])
        fill_composition(distiller, store, categories[: len(chosen)], look, torch.device("cpu"))
        assert distiller.composition is not None
        codes.append(distiller.composition.codes)
    assert torch.equal(codes[0][0], codes[1][0])
    assert torch.equal(codes[1][0], codes[2][0])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tile": 48}, "logical=true compares whole pictures, and --tile cuts them"),
        ({"image_score": "maximum"}, "logical=true adds to comparable scores, and these are 'maximum'"),
        ({"recipe": "paper"}, "name --image-score comparable, or leave out logical=true"),
    ],
)
def test_what_does_not_go_with_compositions_is_one_sentence(
    options: dict[str, Any], reason: str, trays: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        fit(trays, out=tmp_path / "m", settings=ON, progress=False, **QUICK | options)


def test_pixels_that_do_not_count_are_in_no_composition(logical: Model) -> None:
    images = np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    valid = np.ones((1, 1, SIDE, SIDE), np.float32)
    valid[..., SIDE // 2 :] = 0

    answers = logical.inspector.scorer.network(images, valid, untimed)

    assert answers.compositions[0, 2 * CODES : 3 * CODES].sum() == 0
    assert answers.compositions[0, CODES : 2 * CODES].sum() == pytest.approx(1)
