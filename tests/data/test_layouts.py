from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import as_picture_set, open_pictures
from understudy.runtime.walk import find_pictures


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_one_categorys_folder_and_a_bare_folder_are_recognised(factory: Path, tmp_path: Path) -> None:
    alone = open_pictures(factory / "nut")
    assert (alone.layout, alone.categories) == ("one category in MVTec AD layout", ["nut"])
    bare = tmp_path / "my parts"
    touch(bare / "a.png")
    touch(bare / "b.JPG")
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
    with pytest.raises(InputError, match="has no name; is a shell variable unset"):
        open_pictures(" ")
    with pytest.raises(InputError, match="cannot be looked up: File name too long"):
        open_pictures(tmp_path / ("x" * 300))
    (tmp_path / "gifs").mkdir()
    (tmp_path / "gifs" / "a.gif").touch()
    with pytest.raises(InputError, match=r"holds no pictures \(left out: no picture by its name \(\.gif\)\)"):
        open_pictures(tmp_path / "gifs")


def test_what_was_found_already_is_taken_as_it_is(factory: Path) -> None:
    found = open_pictures(factory, "mvtec").only(["nut"])
    assert as_picture_set(found) is found
    assert as_picture_set(str(factory)).categories == ["capsule", "linen", "nut", "veneer"]


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


def test_whatever_is_not_used_is_counted_with_its_reason(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    nut = data / "nut"
    for place in (
        data,
        nut,
        nut / "test",
        nut / "train" / "bad",
        nut / "ground_truth" / "rust",
        data / "a" / "b",
    ):
        touch(place / "999.png")
    (nut / "read me.txt").touch()
    (nut / "train" / "good" / ".hidden.png").touch()
    (nut / ".git").mkdir()
    (data / "screw" / "train").mkdir(parents=True)
    (data / "gone.png").symlink_to(data / "nowhere.png")
    found = open_pictures(data)
    assert found.records == tuple(
        replace(r, path=data / r.path.relative_to(factory)) for r in open_pictures(factory).records
    )
    assert {
        (each.folder.relative_to(data).as_posix(), each.files, each.reason) for each in found.left_out
    } == {
        (".", 1, "loose beside product folders"),
        (".", 1, "link that leads nowhere"),
        ("a/b", 1, "in no layout"),
        ("nut", 1, "beside the splits of a product"),
        ("nut", 1, "no picture by its name (.txt)"),
        ("nut/.git", 0, "hidden folder"),
        ("screw/train", 0, "empty folder"),
        ("nut/ground_truth/rust", 1, "mask without a picture"),
        ("nut/test", 1, "loose in test, so neither good nor of a kind of defect"),
        ("nut/train/bad", 1, "defects in train, and only good pictures are learned from"),
        ("nut/train/good", 1, "hidden pictures"),
    }


def test_a_product_of_good_pictures_beside_others_in_a_layout_is_read(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    touch(data / "screw" / "0.png")
    found = open_pictures(data)
    assert found.layout == "MVTec AD layout and one product a folder"
    assert [r.path.name for r in found.train() if r.category == "screw"] == ["0.png"]


def test_an_unreadable_folder_is_left_out_and_counted(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    scan = os.scandir

    def scandir(path: Path) -> object:
        if Path(path).name == "linen":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = open_pictures(data)
    assert found.categories == ["capsule", "nut", "veneer"]
    assert found.left_out == ((data / "linen", 0, "cannot be read: Permission denied"),)
    with pytest.raises(InputError, match="linen cannot be read: Permission denied; make it readable"):
        open_pictures(data / "linen")


def test_a_product_whose_name_is_not_utf_8_is_one_sentence(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + b"/caf\xe9/train/good"
    os.makedirs(place)  # noqa: PTH103
    shutil.copy(Path(__file__), place + b"/0.png")
    with pytest.raises(InputError, match=r"a folder 'caf\\udce9', which is not UTF-8; rename it"):
        open_pictures(tmp_path)


def test_words_of_ones_own_count_as_good_and_bad(tmp_path: Path) -> None:
    for name in ("perfect", "kratz", "io"):
        touch(tmp_path / name / "0.png")
    found = open_pictures(tmp_path, good=["Perfect"], bad=["kratz", "io"])
    assert {(r.split, r.defect) for r in found.records} == {
        ("train", "good"),
        ("test", "kratz"),
        ("test", "io"),
    }
    with pytest.raises(InputError, match=r"--good names 'prefect', and .* has no folder and no label"):
        open_pictures(tmp_path, good=["prefect"])
    with pytest.raises(InputError, match="in layout good all pictures are good; leave out --bad"):
        open_pictures(tmp_path, "good", bad=["kratz"])
    with pytest.raises(InputError, match=r"a layout is one of auto, mvtec, .*, got 'mvtc'"):
        open_pictures(tmp_path, "mvtc")  # type: ignore[arg-type]
