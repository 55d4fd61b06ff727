"""How a diagnosis runs, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from understudy import InputError, Inspector, fit
from understudy.lab.diagnose.job import diagnose, find_one_class
from understudy.lab.diagnose.page import write_diagnosis
from understudy.lab.diagnose.synthesis import Trials
from understudy.runtime.images import read_picture, unit


def test_arrays_are_scored_as_their_files_are(inspector: Inspector, factory: Path) -> None:
    paths = sorted((factory / "nut" / "test" / "good").iterdir())
    results = list(replace(inspector.scorer, usual=None).score(paths))  # the measures are of maps as they are
    pictures = Trials(_good(inspector, factory)).good["nut"]
    found = list(inspector.scorer.score_windows(pictures))
    for result, (score, anomaly_map) in zip(results, found, strict=True):
        assert result.score == score  # type: ignore[union-attr]
        np.testing.assert_array_equal(result.anomaly_map, anomaly_map)  # type: ignore[union-attr]
    floats = list(inspector.scorer.score_windows(unit(pictures)))
    assert [score for score, _ in floats] == [score for score, _ in found]


def test_arrays_are_taken_a_batch_at_a_time(inspector: Inspector) -> None:
    taken = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for i in range(7):
            taken.append(i)
            yield np.full((64, 64, 3), 30 * i, np.uint8)

    found = inspector.scorer.score_windows(pictures(), batch_size=3)
    next(found)
    assert len(taken) == 3
    assert len(list(found)) == 6


def _good(inspector: Inspector, data: Path) -> dict[str, NDArray[np.uint8]]:
    paths = sorted((data / "nut" / "test" / "good").iterdir())
    return {"nut": np.stack([inspector.scorer.preprocess.resize(read_picture(p)) for p in paths])}


def test_all_pairs_are_run_and_written_as_json_and_page(
    inspector: Inspector, factory: Path, tmp_path: Path
) -> None:
    result = diagnose(inspector, factory, pictures=3)
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
    write_diagnosis(tmp_path / "page.html", inspector, result)
    page = (tmp_path / "page.html").read_text()
    assert "capsule + linen" in page
    assert page.count("<figure>") == 6 + 2 * (3 + 3)
    assert "http" not in page
    assert "None" not in page


def test_named_pairs_give_the_same_mixes_and_pastes_as_all_pairs_of_as_many(
    inspector: Inspector, factory: Path
) -> None:
    every = diagnose(inspector, factory, pictures=4, seed=3).figures
    one = diagnose(inspector, factory, pairs=[("nut", "linen")], pictures=4, seed=3).figures
    assert list(one["categories"]) == ["linen", "nut"]
    assert one["mix"]["pairs"] == [r for r in every["mix"]["pairs"] if (r["a"], r["b"]) == ("linen", "nut")]
    assert [(r["patch"], r["background"]) for r in one["paste"]["pairs"]] == [("nut", "linen")]
    assert one["paste"]["pairs"][0] in every["paste"]["pairs"]


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(factory, tmp_path / "data"))


def test_a_category_without_good_test_pictures_is_named(inspector: Inspector, data: Path) -> None:
    shutil.rmtree(data / "nut" / "test" / "good")
    with pytest.raises(InputError, match=r"no good test pictures of 'nut'.*nut/test/good.*other categories"):
        diagnose(inspector, data)
    assert diagnose(inspector, data, pairs=[("linen", "veneer")], pictures=1).figures["mix"]["pairs"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("nut", "nut")], "the pair nut:nut is one category"),
        ([("nut", "screw")], "'screw' is no category that both"),
        ([], "no pair of categories is named"),
    ],
)
def test_pairs_that_are_none_are_refused(
    pairs: list[tuple[str, str]], message: str, inspector: Inspector, factory: Path
) -> None:
    with pytest.raises(InputError, match=message):
        diagnose(inspector, factory, pairs=pairs)


def test_a_folder_of_one_category_has_nothing_to_interfere(inspector: Inspector, factory: Path) -> None:
    with pytest.raises(InputError, match=r"two categories at least, and .*nut has 1 of those"):
        diagnose(inspector, factory / "nut")


def test_a_broken_picture_is_named(inspector: Inspector, data: Path) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000\.png is no picture"):
        diagnose(inspector, data, pictures=1)


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
    inspector: Inspector, factory: Path, one_class: Path, tmp_path: Path
) -> None:
    result = diagnose(inspector, factory, one_class=one_class, pairs=[("nut", "linen")], pictures=3)
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
    write_diagnosis(tmp_path / "page.html", inspector, result)
    assert "index" in (tmp_path / "page.html").read_text()


def test_one_class_models_that_cannot_be_compared_are_refused(
    inspector: Inspector, model_folder: Path, one_class: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no one-class model of bolt, nail; train each with"):
        find_one_class(one_class, ["bolt", "nail", "nut"], inspector)
    with pytest.raises(InputError, match="sees pictures of 96 pixels, the model to diagnose 64"):
        find_one_class(one_class, ["veneer"], inspector)
    with pytest.raises(InputError, match=r"with strides 4, 8, the model to diagnose .* with 8, 16"):
        find_one_class(one_class, ["capsule"], inspector)
    shutil.copytree(model_folder, tmp_path / "nut")
    with pytest.raises(InputError, match="was trained on capsule, linen, nut, veneer, not on nut alone"):
        find_one_class(tmp_path, ["nut"], inspector)
