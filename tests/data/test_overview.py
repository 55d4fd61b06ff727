"""What is said of a data set before the work on it begins."""

from __future__ import annotations

from pathlib import Path

from understudy.data.layouts import open_pictures
from understudy.data.overview import (
    announce,
    describe,
    kinds_of_defect,
    kinds_of_defect_lines,
    left_out_lines,
    overview,
)
from understudy.runtime.walk import LeftOut


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_was_recognised_is_told_in_one_line(factory: Path, tmp_path: Path) -> None:
    found = open_pictures(factory)
    assert describe(found) == f"{factory}: MVTec AD layout, 4 categories, {len(found.records)} pictures"
    touch(tmp_path, "a.png")
    assert describe(open_pictures(tmp_path)).endswith("folder of good pictures, 1 category, 1 picture")


def test_a_table_counts_every_split_and_lines_tell_what_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "nut/train/good/0.png", "nut/val/ok/0.png", "nut/test/OK/0.png", "nut/readme.txt")
    touch(tmp_path, "nut/test/hole/0.png", "nut/test/hole/1.png", "nut/ground_truth/hole/0_mask.png")
    said: list[str] = []
    announce(open_pictures(tmp_path), said.append, ", all of them")
    assert said[0].endswith("1 category, 5 pictures, all of them")
    assert said[1:] == [
        "category  split       good  defects  with mask",
        "nut       train          1        0          0",
        "nut       validation     1        0          0",
        "nut       test           1        2          1",
        "kinds of defect: hole 2",
        f"left out: {tmp_path / 'nut'}: 1 file, no picture by its name (.txt)",
    ]


def test_more_than_twenty_categories_are_summed_up(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{i:02d}-nut/good/{j}.png" for i in range(21) for j in range(2)))
    touch(tmp_path, "05-nut/bad/0.png", "07-screw/0.png")
    assert overview(open_pictures(tmp_path)) == [
        "train: 22 categories, 43 good, 0 with a defect, 0 with a mask; fewest good ones in 07-screw: 1",
        "test: 1 categories, 0 good, 1 with a defect, 0 with a mask; fewest good ones in 05-nut: 0",
        "kinds of defect: bad 1",
    ]


def test_every_kind_of_defect_is_named_and_many_are_cut_short(tmp_path: Path) -> None:
    touch(tmp_path, "nut/good/0.png", "nut/review/0.png", "nut/hole/0.png", "nut/hole/1.png", "bolt/0.png")
    touch(tmp_path, "cup/ok/0.png", *(f"cup/kind {i}/0.png" for i in range(10)))
    found = open_pictures(tmp_path)
    kinds = ", ".join(f"kind {i} 1" for i in range(8))
    assert kinds_of_defect_lines(found) == [
        f"kinds of defect of cup: {kinds} and 2 more",
        "kinds of defect of nut: hole 2, review 1",
    ]
    assert kinds_of_defect(found)["nut"] == {"hole": 2, "review": 1}


def test_one_reason_in_many_folders_is_one_line() -> None:
    left_out = [LeftOut(Path(f"p{i}"), 2, "hidden") for i in range(4)] + [LeftOut(Path("q"), 0, "no way in")]
    assert left_out_lines(left_out) == [
        "left out: 8 files in 4 folders, such as p0: hidden",
        "left out: q: no way in",
    ]
