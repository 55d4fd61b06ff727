"""Folders in MVTec AD's layout: kinds of defect and their masks, under every usual name."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

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
