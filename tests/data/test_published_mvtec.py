"""Folders in MVTec AD's layout: kinds of defect and their masks, under every usual name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import open_pictures


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_mvtec_layout_gives_categories_kinds_and_masks(factory: Path) -> None:
    found = open_pictures(factory)
    assert found.layout == "MVTec AD layout"
    assert found.categories == ["capsule", "linen", "nut", "veneer"]
    assert len(found.train()) == 24
    nuts = [r for r in found.test() if r.category == "nut"]
    assert [r.defect for r in nuts] == ["chip", "good", "good", "rust", "scratch"]
    assert [[m.name for m in r.masks] for r in nuts] == [["000_mask.png"], [], [], *[["000_mask.png"]] * 2]
    assert list(found.records) == sorted(found.records)


@pytest.mark.parametrize("name", ["000_mask.png", "000.png", "000_mask.PNG", "000.bmp", "000_MASK.tif"])
def test_masks_are_found_under_every_usual_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "parts" / "test" / "scratch" / "000.png")
    touch(tmp_path / "parts" / "ground_truth" / "scratch" / name)
    (record,) = open_pictures(tmp_path / "parts").test()
    assert [m.name for m in record.masks] == [name]


def test_nested_defects_have_the_mask_of_their_own_place(tmp_path: Path) -> None:
    nut = tmp_path / "nut"
    for place in ("a", "b", "c"):
        touch(nut / "test" / "hole" / place / "001.png")
    touch(nut / "ground_truth" / "Hole" / "a" / "001_mask.png")
    touch(nut / "ground_truth" / "Hole" / "b" / "001.png")
    touch(nut / "ground_truth" / "Hole" / "001_mask.png")
    found = open_pictures(nut)
    masks = [[m.relative_to(nut / "ground_truth" / "Hole").as_posix() for m in r.masks] for r in found.test()]
    assert masks == [["a/001_mask.png"], ["b/001.png"], []]
    assert found.left_out == ((nut / "ground_truth" / "Hole", 1, "mask without a picture"),)


@pytest.mark.parametrize("second", ["001.png", "001_mask.bmp", "001_MASK.png"])
def test_two_masks_of_one_picture_are_an_error_that_names_both(tmp_path: Path, second: str) -> None:
    touch(tmp_path / "nut" / "test" / "hole" / "001.png")
    touch(tmp_path / "nut" / "ground_truth" / "hole" / "001_mask.png")
    touch(tmp_path / "nut" / "ground_truth" / "hole" / second)
    with pytest.raises(InputError, match=r"001.* and .*001.* are both masks of .*hole/001\.png; keep one"):
        open_pictures(tmp_path)


@pytest.mark.parametrize("good", ["OK", "Good", "o.k.", "Normal"])
def test_any_word_for_good_is_a_good_test_picture_in_any_case(tmp_path: Path, good: str) -> None:
    touch(tmp_path / "nut" / "Train" / good / "0.png")
    touch(tmp_path / "nut" / "TEST" / good / "0.png")
    assert [(r.split, r.defect) for r in open_pictures(tmp_path).records] == [
        ("test", "good"),
        ("train", "good"),
    ]


def test_validation_pictures_do_not_hide_masks_that_lie_beside_each_other(tmp_path: Path) -> None:
    touch(tmp_path / "nut" / "validation" / "good" / "0.png")
    touch(tmp_path / "nut" / "test" / "hole" / "0.png")
    touch(tmp_path / "nut" / "ground_truth" / "hole" / "0_mask.png")
    (record,) = open_pictures(tmp_path).test()
    assert [m.name for m in record.masks] == ["0_mask.png"]
