from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import open_pictures
from understudy.data.published import read_saturations


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """One category: two good pictures of every split, one logical defect in two places, one structural."""
    folder = tmp_path / "data" / "box"
    for split in ("train", "validation", "test"):
        for name in ("000.png", "001.png"):
            touch(folder / split / "good" / name)
    for kind, masks in (
        ("logical_anomalies", ("000.png", "001.png")),
        ("structural_anomalies", ("000.png",)),
    ):
        touch(folder / "test" / kind / "000.png")
        for name in masks:
            touch(folder / "ground_truth" / kind / "000" / name)
    (folder / "defects_config.json").write_text("[]")
    return folder


def test_every_split_and_every_mask_of_a_picture_is_found(box: Path) -> None:
    found = open_pictures(box.parent)
    assert (found.layout, found.categories) == ("MVTec LOCO layout", ["box"])
    assert [r.path for r in found.train()] == sorted((box / "train" / "good").iterdir())
    assert [r.path for r in found.validation()] == sorted((box / "validation" / "good").iterdir())
    logical = box / "ground_truth" / "logical_anomalies" / "000"
    assert [(r.defect, r.masks) for r in found.test()] == [
        ("good", ()),
        ("good", ()),
        ("logical_anomalies", (logical / "000.png", logical / "001.png")),
        ("structural_anomalies", (box / "ground_truth" / "structural_anomalies" / "000" / "000.png",)),
    ]
    assert list(found.records) == sorted(found.records)


def test_a_category_alone_is_recognised(box: Path) -> None:
    found = open_pictures(box)
    assert (found.layout, found.categories) == ("one category in MVTec LOCO layout", ["box"])


@pytest.mark.parametrize("left", ["defects_config.json", "ground_truth"])
def test_the_explanation_of_masks_or_a_folder_of_them_is_enough(box: Path, left: str) -> None:
    if left == "ground_truth":
        (box / "defects_config.json").unlink()
    else:
        shutil.rmtree(box / "ground_truth")
    found = open_pictures(box)
    assert found.layout == "one category in MVTec LOCO layout"
    assert len(found.validation()) == 2
    assert all(bool(r.masks) == (left == "ground_truth") for r in found.test() if not r.is_good)


def test_a_picture_without_a_folder_of_masks_has_none(box: Path) -> None:
    touch(box / "test" / "logical_anomalies" / "001.png")
    logical = [r for r in open_pictures(box).test() if r.defect == "logical_anomalies"]
    assert [len(r.masks) for r in logical] == [2, 0]


def test_a_list_of_defects_that_is_nested_too_deeply_is_one_sentence(box: Path) -> None:
    (box / "defects_config.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InputError, match=r"defects_config\.json cannot be read: .*; mend or remove it"):
        read_saturations(box)


def test_both_layouts_in_one_folder_are_named_and_read(box: Path) -> None:
    screw = box.parent / "screw"
    touch(screw / "train" / "good" / "000.png")
    touch(screw / "test" / "bent" / "000.png")
    touch(screw / "ground_truth" / "bent" / "000_mask.png")
    found = open_pictures(box.parent)
    assert found.layout == "MVTec AD and MVTec LOCO layouts"
    assert len(found.train()) == 3
    assert {r.category: len(r.masks) for r in found.test() if not r.is_good} == {"box": 1, "screw": 1}


def test_a_data_set_without_validation_pictures_has_none(factory: Path) -> None:
    assert open_pictures(factory).validation() == []
