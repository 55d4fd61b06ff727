from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import describe, open_pictures
from understudy.data.published import folders_in
from understudy.data.store import PictureStore
from understudy.train.split import split_off
from understudy.runtime.images import find_pictures
from understudy.runtime.preprocess import Preprocess

LOOK = Preprocess(image_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


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


def test_categories_can_be_chosen_and_unknown_ones_are_named(factory: Path) -> None:
    assert open_pictures(factory).only(["nut", "linen"]).categories == ["linen", "nut"]
    with pytest.raises(InputError, match="no category 'screw'; it has capsule, linen, nut, veneer"):
        open_pictures(factory).only(["nut", "screw"])


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


def test_a_category_without_good_pictures_is_named(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory, tmp_path / "data"))
    shutil.rmtree(data / "nut" / "train" / "good")
    with pytest.raises(InputError, match=r"category 'nut'.*nut/train/good.*--categories"):
        open_pictures(data).train()


def test_the_holdout_is_seeded_per_category_and_independent_of_the_others(factory: Path) -> None:
    records = open_pictures(factory).train()
    learn, held = split_off(records, 1 / 3, seed=0)
    assert len(held) == 8
    assert not set(learn) & set(held)
    assert {r.category for r in held} == {"capsule", "linen", "nut", "veneer"}
    only_nuts = [r for r in records if r.category == "nut"]
    assert split_off(only_nuts, 1 / 3, 0)[1] == [r for r in held if r.category == "nut"]
    assert split_off(records, 1 / 3, 1)[1] != held


def test_pictures_are_the_same_from_memory_and_from_disk(factory: Path) -> None:
    paths = [r.path for r in open_pictures(factory).train()[:5]]
    kept, decoded = PictureStore(paths, LOOK), PictureStore(paths, LOOK, budget=0)
    assert all(bool((kept[i] == decoded[i]).all()) for i in range(5))
    assert kept.digests == decoded.digests
    assert kept[0].shape == (32, 32, 3)


def test_broken_pictures_are_named_before_any_training(factory: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(factory / "nut" / "train" / "good", tmp_path / "good"))
    for name in ("000.png", "003.png"):
        (data / name).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"000\.png is no picture.*\(and 1 more\)"):
        PictureStore(sorted(data.iterdir()), LOOK)


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


@pytest.mark.parametrize("name", ["000_mask.png", "000.png", "000_mask.PNG", "000.bmp", "000_MASK.tif"])
def test_masks_are_found_under_every_usual_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "parts" / "test" / "scratch" / "000.png")
    touch(tmp_path / "parts" / "ground_truth" / "scratch" / name)
    (record,) = open_pictures(tmp_path / "parts").test()
    assert [m.name for m in record.masks] == [name]


def test_the_holdout_leaves_every_category_a_picture_to_learn_from(factory: Path) -> None:
    learn, held = split_off(open_pictures(factory).train(), 0.99, 0)
    assert len(learn) == 4
    assert {r.category for r in learn} == {"capsule", "linen", "nut", "veneer"}
    assert len(held) == 20
