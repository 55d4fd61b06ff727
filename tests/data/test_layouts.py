from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import describe, open_pictures
from understudy.data.published import folders_in
from understudy.runtime.images import find_pictures


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_one_categorys_folder_and_a_bare_folder_are_recognised(factory: Path, tmp_path: Path) -> None:
    alone = open_pictures(factory / "nut")
    assert (alone.layout, alone.categories) == ("one category in MVTec AD layout", ["nut"])
    bare = tmp_path / "my parts"
    touch(bare / "a.png")
    touch(bare / "deeper" / "b.JPG")
    found = open_pictures(bare)
    assert (found.layout, found.categories) == ("folder of good pictures", ["my parts"])
    assert len(found.train()) == 2
    with pytest.raises(InputError, match="no test pictures"):
        found.test()


def test_a_missing_an_empty_and_a_file_path_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none does not exist"):
        open_pictures(tmp_path / "none")
    with pytest.raises(InputError, match="holds no pictures"):
        open_pictures(tmp_path)
    touch(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png is a file; name the folder"):
        open_pictures(tmp_path / "a.png")


def test_what_was_recognised_is_told_in_one_line(factory: Path, tmp_path: Path) -> None:
    found = open_pictures(factory)
    assert describe(found) == f"{factory}: MVTec AD layout, 4 categories, {len(found.records)} pictures"
    touch(tmp_path / "a.png")
    assert describe(open_pictures(tmp_path)).endswith("folder of good pictures, 1 category, 1 picture")


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("Cable", "cable", "'Cable' and 'cable'"),
        ("STRASSE", "straße", "'STRASSE' and 'straße'"),
        ("mu\u0308nze", "m\u00fcnze", r"'mu\\u0308nze' and 'm\\xfcnze'"),
    ],
)
def test_two_categories_that_read_alike_are_refused(
    tmp_path: Path, first: str, second: str, shown: str
) -> None:
    for name in (first, second, "nut"):
        touch(tmp_path / name / "train" / "good" / "0.png")
    with pytest.raises(InputError, match=f"two categories of one name, {shown}; rename one"):
        open_pictures(tmp_path)


def test_links_that_lead_back_are_not_entered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for part in ("train/good", "test/good", "test/bent"):
        touch(data / "nut" / part / "0.png")
    before = open_pictures(data).records
    for place, target in (
        (data / "loop", data),
        (data / "up", tmp_path),
        (data / "nut" / "test" / "loop", data / "nut"),
        (data / "nut" / "test" / "good" / "loop", data / "nut" / "test"),
        (data / "nut" / "test" / "self", data / "nut" / "test" / "self"),
        (data / "nut" / "train" / "good" / "self.png", data / "nut" / "train" / "good" / "self.png"),
    ):
        place.symlink_to(target)
    assert open_pictures(data).records == before
    assert [d.name for d in folders_in(data / "nut" / "test")] == ["bent", "good"]
    assert len(find_pictures(data)) == 3
    with pytest.raises(InputError, match="does not exist"):
        open_pictures(data / "nut" / "test" / "self")


def test_a_link_to_a_category_elsewhere_is_entered(factory: Path, tmp_path: Path) -> None:
    (tmp_path / "bolt").symlink_to(factory / "nut")
    assert open_pictures(tmp_path).categories == ["bolt"]


def test_spaces_percent_signs_and_other_scripts_are_plain_letters(tmp_path: Path) -> None:
    touch(tmp_path / "50 % größe" / "train" / "good" / "a b%20.png")
    touch(tmp_path / "50 % größe" / "test" / "裂纹 1" / "ü (1).png")
    touch(tmp_path / "50 % größe" / "ground_truth" / "裂纹 1" / "ü (1)_mask.png")
    found = open_pictures(tmp_path)
    assert found.categories == ["50 % größe"]
    assert [r.path.name for r in found.train()] == ["a b%20.png"]
    (record,) = found.test()
    assert (record.defect, len(record.masks)) == ("裂纹 1", 1)


@pytest.mark.parametrize("part", ["test/scratch", "ground_truth/scratch"])
def test_a_folder_with_tests_alone_is_not_taken_for_good_pictures(tmp_path: Path, part: str) -> None:
    touch(tmp_path / "parts" / part / "000.png")
    with pytest.raises(InputError, match=r"no good pictures|holds no pictures"):
        open_pictures(tmp_path / "parts").train()


@pytest.mark.parametrize("name", ["bad", "Anomaly", "Masks", "NG"])
def test_a_folder_named_after_defects_is_refused(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "good" / "a.png")
    touch(tmp_path / name / "b.png")
    with pytest.raises(InputError, match=f"has a folder '{name}', so its pictures are not all good"):
        open_pictures(tmp_path)
