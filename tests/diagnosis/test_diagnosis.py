"""What is counted on mixed and pasted pictures, and how a diagnosis runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from understudy import InputError, Model, diagnose, fit
from understudy.lab.diagnose.measure import Interference, auroc, mean_of, standardised_gap
from understudy.lab.diagnose.measure import compare, measure
from understudy.lab.diagnose.job import find_one_class
from understudy.lab.diagnose.synthesis import Trials
from understudy.lab.diagnose.page import write_diagnosis
from understudy.evaluate.report.charts import HEIGHT, WIDTH, histogram
from understudy.runtime.images import unit
from understudy.distill.network import TorchNetwork, score_windows

SIDE = 40
BLACK, GRAY, WHITE = 0, 102, 255  # 102 / 255 is 0.4


def noise(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)


def flat(n: int, value: int) -> NDArray[np.uint8]:
    return np.full((n, SIDE, SIDE, 3), value, np.uint8)


def whiteness(pictures: Iterable[NDArray[np.generic]]) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """A model to which white is abnormal: score is the mean, the map the picture."""
    for picture in pictures:
        gray = unit(picture).mean(axis=-1)  # type: ignore[arg-type]
        yield float(gray.mean()), gray


def nothing(pictures: Iterable[NDArray[np.generic]]) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """A model to which everything is alike."""
    for _ in pictures:
        yield 0.5, np.full((SIDE, SIDE), 0.5, np.float32)


def test_mixes_are_counted_against_the_good_pictures_of_both() -> None:
    """Black scores 0, white 1, mixes 0.3, 0.5 and 0.7: each above one half of the good pictures."""
    trials = Trials({"black": flat(2, BLACK), "white": flat(2, WHITE)})
    (found,) = measure(whiteness, trials, [("black", "white")], []).mixes
    figures = found.to_dict()
    assert (figures["n_normal"], figures["n_mixed"], figures["n_same_class"]) == (4, 12, 6)
    assert {name: f["auroc"] for name, f in figures["mixed"].items()} == dict.fromkeys(
        ["together", "0.3", "0.5", "0.7"], 0.5
    )
    spread = np.sqrt(1 / (4 + 4 - 2))  # of 0, 0, 1, 1 about 0.5 and of four equal scores
    assert figures["mixed"]["0.3"]["gap"] == pytest.approx((0.7 - 0.5) / spread, rel=1e-5)
    assert figures["same_class"]["together"]["auroc"] == pytest.approx(0.5)
    np.testing.assert_allclose(found.mixed, np.tile([0.7, 0.5, 0.3], (4, 1)), rtol=1e-6)


def test_a_pasted_patch_is_counted_pixel_by_pixel_and_picture_by_picture() -> None:
    trials = Trials({"black": flat(2, BLACK), "white": flat(2, WHITE)}, n_pastes=5)
    found = measure(whiteness, trials, [], [("white", "black"), ("black", "white")]).pastes
    assert found[0].pasted == pytest.approx({"pixel_auroc": 1, "aupro": 1, "image_auroc": 1})
    assert found[1].pasted == {"pixel_auroc": 0, "aupro": 0, "image_auroc": 0}
    for result in found:
        assert (result.n_pasted, result.n_normal) == (5, 2)
        assert result.same_class is not None
        assert result.same_class["pixel_auroc"] == result.same_class["image_auroc"] == 0.5


def test_a_category_of_one_good_picture_has_no_controls() -> None:
    trials = Trials({"black": flat(1, BLACK), "white": flat(3, WHITE)}, n_pastes=3)
    found = measure(whiteness, trials, [("black", "white")], [("white", "black"), ("black", "white")])
    assert found.mixes[0].same_class is None
    assert found.mixes[0].to_dict()["n_same_class"] == 0
    assert found.pastes[0].same_class is None
    assert found.pastes[1].same_class is not None


def test_the_index_is_zero_when_the_one_class_model_is_the_same_model() -> None:
    trials = Trials({"a": noise(4), "b": noise(3, 1), "c": noise(3, 2)}, n_mixes=5, n_pastes=4)
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    found = compare(measure(whiteness, trials, pairs, pairs), lambda _: whiteness, trials)
    for result in (*found.mixes, *found.pastes):
        assert result.interference is not None
        assert set(result.interference.to_dict()["index"].values()) == {0.0}


def test_the_index_is_what_one_class_models_tell_better() -> None:
    """To a blind model every AUROC is a half; to whiteness mixes are above black and below gray."""
    trials = Trials({"black": flat(2, BLACK), "gray": flat(2, GRAY)}, n_pastes=3)
    opened = []

    def one_class(name: str) -> object:
        opened.append(name)
        return whiteness

    blind = measure(nothing, trials, [("black", "gray")], [("gray", "black")])
    found = compare(blind, one_class, trials)  # type: ignore[arg-type]
    assert opened == ["black", "gray"]
    mixed = found.mixes[0].interference
    assert mixed is not None
    assert mixed.to_dict() == {  # 1 against black, 0 against gray: a half
        "one_class": {"auroc": 0.5},
        "multi_class": {"auroc": 0.5},
        "index": {"auroc": 0.0},
    }
    pasted = found.pastes[0].interference
    assert pasted is not None
    assert pasted.to_dict()["index"] == {
        "pixel_auroc": 0.5,
        "aupro": pytest.approx(0.85),
        "image_auroc": 0.5,
    }


def test_one_class_models_that_tell_every_mix_raise_the_index_over_a_blind_one() -> None:
    trials = Trials({"black": flat(2, BLACK), "gray": flat(2, GRAY)}, n_pastes=3)

    def far_from(name: str) -> object:
        own = {"black": BLACK, "gray": GRAY}[name] / 255

        def score(
            pictures: Iterable[NDArray[np.generic]],
        ) -> Iterator[tuple[float, NDArray[np.float32]]]:
            return ((abs(value - own), abs(gray - np.float32(own))) for value, gray in whiteness(pictures))

        return score

    blind = measure(nothing, trials, [("black", "gray")], [("gray", "black")])
    mixed = compare(blind, far_from, trials).mixes[0].interference  # type: ignore[arg-type]
    assert mixed is not None
    assert mixed.to_dict() == {
        "one_class": {"auroc": 1.0},
        "multi_class": {"auroc": 0.5},
        "index": {"auroc": 0.5},
    }


def test_figures_that_cannot_be_told_are_none_and_in_no_mean() -> None:
    none, some = np.zeros(0), np.array([1.0, 2.0])
    assert auroc(none, some) is None
    assert standardised_gap(none, some) is None
    assert standardised_gap(np.ones(2), np.ones(3)) is None
    assert standardised_gap(np.array([3.0, 5.0]), np.array([0.0, 2.0])) == pytest.approx(3 / np.sqrt(2))
    assert Interference({"x": None}, {"x": 1.0}).to_dict()["index"] == {"x": None}
    assert mean_of([{"x": {"y": 1.0}}, None, {"x": {"y": 0.0}}, {"x": {"y": None}}]) == {"x": {"y": 0.5}}
    assert mean_of([None]) is None


def test_arrays_are_scored_as_their_files_are(model: Model, factory: Path) -> None:
    paths = sorted((factory / "nut" / "test" / "good").iterdir())
    results = list(model.score(paths))
    pictures = Trials(_good(model, factory)).good["nut"]
    found = list(model.score_windows(pictures))
    for result, (score, anomaly_map) in zip(results, found, strict=True):
        assert result.score == score  # type: ignore[union-attr]
        np.testing.assert_array_equal(result.anomaly_map, anomaly_map)  # type: ignore[union-attr]
    floats = list(model.score_windows(unit(pictures)))
    assert [score for score, _ in floats] == [score for score, _ in found]


def test_arrays_are_taken_a_batch_at_a_time(model: Model) -> None:
    taken = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for i in range(7):
            taken.append(i)
            yield np.full((64, 64, 3), 30 * i, np.uint8)

    found = score_windows(TorchNetwork(model.distiller), model.preprocess, pictures(), batch_size=3)
    next(found)
    assert len(taken) == 3
    assert len(list(found)) == 6


def _good(model: Model, data: Path) -> dict[str, NDArray[np.uint8]]:
    from understudy.runtime.images import read_picture

    paths = sorted((data / "nut" / "test" / "good").iterdir())
    return {"nut": np.stack([model.preprocess.resize(read_picture(p)) for p in paths])}


def test_all_pairs_are_run_and_written_as_json_and_page(
    model: Model, factory: Path, tmp_path: Path
) -> None:
    result = diagnose(model, factory, pictures=3)
    figures = result.figures
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert {k: figures[k] for k in ("schema", "method", "teacher", "image_size", "seed", "one_class")} == {
        "schema": 1,
        "method": "snl-rd",
        "teacher": "tf_efficientnet_lite0",
        "image_size": 64,
        "seed": 0,
        "one_class": None,
    }
    assert len(figures["mix"]["pairs"]) == 6
    assert len(figures["paste"]["pairs"]) == 12
    for row in figures["mix"]["pairs"]:
        assert (row["n_normal"], row["n_mixed"], row["n_same_class"]) == (4, 9, 6)
        assert 0 <= row["mixed"]["together"]["auroc"] <= 1
        assert row["interference"] is None
    assert {row["n_pasted"] for row in figures["paste"]["pairs"]} == {4}
    per_pair = [row["mixed"]["0.5"]["auroc"] for row in figures["mix"]["pairs"]]
    assert figures["mix"]["mean"]["mixed"]["0.5"]["auroc"] == pytest.approx(np.mean(per_pair))
    write_diagnosis(tmp_path / "page.html", model, result)
    page = (tmp_path / "page.html").read_text()
    assert "capsule + linen" in page
    assert page.count("<figure>") == 6 + 2 * (3 + 3)
    assert "http" not in page
    assert "None" not in page


def test_named_pairs_give_the_same_mixes_and_pastes_as_all_pairs_of_as_many(
    model: Model, factory: Path
) -> None:
    every = diagnose(model, factory, pictures=4, seed=3).figures
    one = diagnose(model, factory, pairs=[("nut", "linen")], pictures=4, seed=3).figures
    assert list(one["categories"]) == ["linen", "nut"]
    assert one["mix"]["pairs"] == [r for r in every["mix"]["pairs"] if (r["a"], r["b"]) == ("linen", "nut")]
    assert [(r["patch"], r["background"]) for r in one["paste"]["pairs"]] == [("nut", "linen")]
    assert one["paste"]["pairs"][0] in every["paste"]["pairs"]


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(factory, tmp_path / "data"))


def test_a_category_without_good_test_pictures_is_named(model: Model, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test" / "good")
    with pytest.raises(InputError, match=r"no good test pictures of 'nut'.*nut/test/good.*other categories"):
        diagnose(model, data)
    assert diagnose(model, data, pairs=[("linen", "veneer")], pictures=1).figures["mix"]["pairs"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("nut", "nut")], "the pair nut:nut is one category"),
        ([("nut", "screw")], "'screw' is no category that both"),
        ([], "no pair of categories is named"),
    ],
)
def test_pairs_that_are_none_are_refused(
    pairs: list[tuple[str, str]], message: str, model: Model, factory: Path
) -> None:
    with pytest.raises(InputError, match=message):
        diagnose(model, factory, pairs=pairs)


def test_a_folder_of_one_category_has_nothing_to_interfere(model: Model, factory: Path) -> None:
    with pytest.raises(InputError, match=r"two categories at least, and .*nut has 1 of those"):
        diagnose(model, factory / "nut")


def test_a_broken_picture_is_named(model: Model, data: Path) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000\.png is no picture"):
        diagnose(model, data, pictures=1)


@pytest.fixture(scope="module")
def one_class(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One-class models of two categories, and of a third one with another image size."""
    folder = tmp_path_factory.mktemp("one-class")
    quick = {"max_steps": 2, "batch_size": 4, "precision": "32", "device": "cpu", "holdout": 0}
    for name, side, strides in (("nut", 64, (8, 16)), ("linen", 64, (8, 16)), ("veneer", 96, (8, 16))):
        fit(factory, folder / name, categories=(name,), image_size=side, strides=strides, **quick)
    fit(factory, folder / "capsule", categories=("capsule",), image_size=64, strides=(4, 8), **quick)
    return folder


def test_one_class_models_give_an_index(
    model: Model, factory: Path, one_class: Path, tmp_path: Path
) -> None:
    result = diagnose(model, factory, one_class, [("nut", "linen")], pictures=3)
    figures = result.figures
    assert figures["one_class"] == {"linen": "snl-rd", "nut": "snl-rd"}
    for row, names in (
        (figures["mix"], ["auroc"]),
        (figures["paste"], ["pixel_auroc", "aupro", "image_auroc"]),
    ):
        found = row["pairs"][0]["interference"]
        assert list(found["index"]) == names
        for name in names:
            assert found["index"][name] == found["one_class"][name] - found["multi_class"][name]
    pasted = figures["paste"]["pairs"][0]
    assert pasted["interference"]["multi_class"] == pasted["pasted"]
    write_diagnosis(tmp_path / "page.html", model, result)
    assert "index" in (tmp_path / "page.html").read_text()


def test_one_class_models_that_cannot_be_compared_are_refused(
    model: Model, model_folder: Path, one_class: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no one-class model of bolt, nail; train each with"):
        find_one_class(one_class, ["bolt", "nail", "nut"], model)
    with pytest.raises(InputError, match="sees pictures of 96 pixels, the model to diagnose 64"):
        find_one_class(one_class, ["veneer"], model)
    with pytest.raises(InputError, match=r"with strides 4, 8, the model to diagnose .* with 8, 16"):
        find_one_class(one_class, ["capsule"], model)
    shutil.copytree(model_folder, tmp_path / "nut")
    with pytest.raises(InputError, match="was trained on capsule, linen, nut, veneer, not on nut alone"):
        find_one_class(tmp_path, ["nut"], model)


def test_a_histogram_shares_one_axis_and_leaves_out_what_is_not_there() -> None:
    found = histogram({"x": np.array([0.0, 1.0]), "y": np.array([[2.0]]), "z": None, "w": np.zeros(0)}, "of")
    assert list(found.paths) == ["x", "y"]
    assert (found.low, found.high) == (0, 2)
    ends = [float(step.split("H")[1].split("V")[0]) for step in found.paths["x"].rstrip("Z").split("V")[1:-1]]
    assert ends[-1] == WIDTH
    assert all(a < b for a, b in pairwise(ends))
    assert f"V{0.0}" in found.paths["y"]  # all of y in one bin: the top
    assert f"V{HEIGHT / 2}" in found.paths["x"]
    assert histogram({"x": np.ones(3)}, "flat").paths["x"].startswith("M0")
