"""Folders and files of masks: never kinds of defect, and each found by its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy.data.kinds import masked_name, split_name
from understudy.data.layouts import open_pictures


def masks(root: Path, files: str) -> dict[str, list[str]]:
    """Each test picture with its masks."""
    for name in files.split(","):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return {
        f"{r.defect} {r.path.relative_to(root).as_posix()}": [m.relative_to(root).as_posix() for m in r.masks]
        for r in open_pictures(root).records
        if r.split == "test"
    }


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (
            "good/0.png,NG/1.png,NG/1_mask.png,NG/2_mask.png",
            {"NG NG/1.png": ["NG/1_mask.png"], "NG NG/2_mask.png": []},
        ),
        ("good/0.png,NG/1.png,NG_masks/1.png", {"NG NG/1.png": ["NG_masks/1.png"]}),
        ("good/0.png,NG/1.png,NG Mask/1_mask.png", {"NG NG/1.png": ["NG Mask/1_mask.png"]}),
        ("good/0.png,NG/1.png,NG/masks/1.png", {"NG NG/1.png": ["NG/masks/1.png"]}),
        ("good/0.png,NG/cut/1.png,NG/cut-mask/1.png", {"cut NG/cut/1.png": ["NG/cut-mask/1.png"]}),
        ("good/0.png,NG/cut/1.png,masks/cut/1.png", {"cut NG/cut/1.png": ["masks/cut/1.png"]}),
        ("good/0.png,NG/cut/1.png,masks/NG/cut/1.png", {"cut NG/cut/1.png": ["masks/NG/cut/1.png"]}),
        (
            "train/good/0.png,test/hole/1.png,test/hole_mask/1.png",
            {"hole test/hole/1.png": ["test/hole_mask/1.png"]},
        ),
        ("train/good/0.png,test/hole/1.png,GT/hole/1.png", {"hole test/hole/1.png": ["GT/hole/1.png"]}),
        (
            "train/good/0.png,test/hole/cut/1.png,test/cut/1.png,gt/cut/1.png",
            {"hole test/hole/cut/1.png": [], "cut test/cut/1.png": ["gt/cut/1.png"]},
        ),
        (
            "train/good/0.png,test/hole/1.png,Ground Truth/hole/1.png",
            {"hole test/hole/1.png": ["Ground Truth/hole/1.png"]},
        ),
    ],
)
def test_masks_are_found_wherever_they_lie_and_are_no_defects(
    tmp_path: Path, files: str, found: dict[str, list[str]]
) -> None:
    assert masks(tmp_path / "line", files) == found


def test_masks_that_no_picture_has_are_left_out_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "line"
    assert masks(root, "good/0.png,NG/1.png,NG/masks/2.png,rust_masks/1.png") == {"NG NG/1.png": []}
    assert [(each.folder.name, each.reason) for each in open_pictures(root).left_out] == [
        ("masks", "mask without a picture"),
        ("rust_masks", "mask without a picture"),
    ]


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("masks", ""),
        ("Ground_Truth", ""),
        ("cut masks", "cut"),
        ("CutMask", "Cut"),
        ("damask", None),
        ("test", None),
    ],
)
def test_a_folder_says_whose_masks_it_holds(name: str, masked: str | None) -> None:
    assert masked_name(name) == masked
    assert (split_name(name) == "masks") == (masked is not None)
