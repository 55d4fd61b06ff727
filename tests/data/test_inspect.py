from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from understudy import InputError
from understudy.data import inspect as module
from understudy.data.inspect import FileFault, Inspection, inspect_data
from understudy.lab.factory.write import FactoryPlan, write_factory

ROTATED = 6  # by 90 degrees clockwise


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """(width, height) of gray noise: no two seeds make equal files."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, size[::-1], np.uint8))


def save(path: Path, image: Image.Image, orientation: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def mask_of(size: tuple[int, int]) -> Image.Image:
    image = Image.new("L", size, 255)
    image.putpixel((0, 0), 0)
    return image


@pytest.fixture
def nut(tmp_path: Path) -> Path:
    """One sound category: two pictures to learn from, a good one and a marked defect to test."""
    folder = tmp_path / "data" / "nut"
    for seed, name in enumerate(
        ("train/good/0.png", "train/good/1.jpg", "test/good/0.bmp", "test/bent/0.png")
    ):
        save(folder / name, noise(seed))
    save(folder / "ground_truth" / "bent" / "0_mask.png", mask_of((40, 30)))
    return folder


def faults(found: Inspection) -> list[tuple[FileFault, str]]:
    return [(f.fault, f.path.name) for f in found.findings]


def test_pictures_masks_sizes_and_modes_are_counted_by_category_and_split(nut: Path) -> None:
    save(nut / "train" / "good" / "2.png", noise(9, (20, 80)).convert("RGB"))
    Image.fromarray(np.zeros((30, 40), np.uint16)).save(nut / "test" / "good" / "1.png")
    found = inspect_data(nut.parent)
    assert (found.root, found.layout, found.decoded) == (nut.parent, "MVTec AD layout", False)
    train, test = found.parts
    assert (train.category, train.split, train.good, train.defects, train.marked) == ("nut", "train", 3, 0, 0)
    assert (test.split, test.good, test.defects, test.marked) == ("test", 2, 1, 1)
    assert train.sizes == {(30, 40): 2, (80, 20): 1}
    assert (train.smallest, train.largest, train.commonest) == ((30, 40), (80, 20), (30, 40))
    assert train.modes == {"L": 2, "RGB": 1}
    assert test.modes == {"L": 2, "I;16": 1}
    assert found.is_sound
    assert found.findings == ()


@pytest.mark.parametrize("decode", [False, True])
def test_a_sound_data_set_is_sound_by_either_check(tmp_path: Path, decode: bool) -> None:
    write_factory(tmp_path, FactoryPlan(train=2, good=1, each_defect=1, size=64))
    found = inspect_data(tmp_path, decode)
    assert found.findings == ()
    assert [p.split for p in found.parts] == ["train", "test"] * 4


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_file_cut_short_is_broken(nut: Path, suffix: str, decode: bool) -> None:
    path = save(nut / "train" / "good" / f"cut.{suffix}", noise(5, (64, 64)))
    path.write_bytes(path.read_bytes()[:-100])
    found = inspect_data(nut.parent, decode)
    assert faults(found) == [(FileFault.BROKEN, path.name)]
    assert str(path) in found.findings[0].text
    assert not found.is_sound
    assert found.parts[0].good == 3
    assert found.parts[0].sizes.total() == 2


def test_what_is_no_picture_is_broken_and_so_are_values_beyond_the_depth(nut: Path) -> None:
    (nut / "test" / "good" / "a.png").write_bytes(b"")
    (nut / "test" / "good" / "b.jpg").write_text("hello")
    Image.fromarray(np.full((3, 3), -7, np.float32)).save(nut / "test" / "good" / "c.tif")
    assert faults(inspect_data(nut)) == [(FileFault.BROKEN, n) for n in ("a.png", "b.jpg", "c.tif")]


def test_bytes_after_a_jpegs_end_do_not_make_it_broken(nut: Path) -> None:
    path = nut / "train" / "good" / "1.jpg"
    path.write_bytes(path.read_bytes() + b"a camera's notes" * 10)
    assert inspect_data(nut).findings == ()


def test_damage_within_a_jpeg_is_found_by_decoding(nut: Path) -> None:
    path = save(nut / "train" / "good" / "2.jpg", noise(5, (200, 200)))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xff\xdb", b"\xff\xef"))  # its quantisation tables become a comment
    assert faults(inspect_data(nut)) == []
    assert faults(inspect_data(nut, decode=True)) == [(FileFault.BROKEN, "2.jpg")]


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_a_mask_of_another_size_is_named(nut: Path, suffix: str, decode: bool) -> None:
    (nut / "ground_truth" / "bent" / "0_mask.png").unlink()
    path = save(nut / "ground_truth" / "bent" / f"0.{suffix}", mask_of((30, 40)))
    found = inspect_data(nut, decode)
    assert faults(found) == [(FileFault.MASK_SIZE, path.name)]
    assert "is a mask of 30x40, its picture is 40x30" in found.findings[0].text
    assert not found.is_sound


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_size_of_a_mask_is_compared_with_the_upright_picture(
    nut: Path, suffix: str, decode: bool
) -> None:
    (nut / "test" / "bent" / "0.png").unlink()
    save(nut / "test" / "bent" / f"0.{suffix}", noise(7, (30, 40)), orientation=ROTATED)
    found = inspect_data(nut, decode)
    assert found.findings == ()
    assert found.parts[1].sizes == {(30, 40): 2}
    save(nut / "ground_truth" / "bent" / "0_mask.png", mask_of((30, 40)))
    assert faults(inspect_data(nut, decode)) == [(FileFault.MASK_SIZE, "0_mask.png")]


def test_a_rotation_noted_behind_the_pixels_of_a_png_is_seen(nut: Path) -> None:
    path = save(nut / "test" / "bent" / "0.png", noise(7, (30, 40)), orientation=ROTATED)
    data = path.read_bytes()
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    at = data.index(b"IEND") - 4
    path.write_bytes(data[:start] + data[end:at] + data[start:end] + data[at:])
    found = inspect_data(nut)
    assert found.findings == ()
    assert found.parts[1].sizes == {(30, 40): 2}


def test_a_broken_mask_is_broken(nut: Path) -> None:
    path = nut / "ground_truth" / "bent" / "0_mask.png"
    path.write_bytes(path.read_bytes()[:-30])
    assert faults(inspect_data(nut)) == [(FileFault.BROKEN, "0_mask.png")]


def test_a_mask_that_marks_nothing_is_found_by_decoding(nut: Path) -> None:
    save(nut / "ground_truth" / "bent" / "0_mask.png", Image.new("L", (40, 30)))
    assert faults(inspect_data(nut)) == []
    found = inspect_data(nut, decode=True)
    assert faults(found) == [(FileFault.EMPTY_MASK, "0_mask.png")]
    assert not found.is_sound


def test_a_mask_that_marks_nearly_all_and_its_border_is_told_and_stops_nothing(nut: Path) -> None:
    save(nut / "ground_truth" / "bent" / "0_mask.png", Image.new("L", (40, 30), 255))
    found = inspect_data(nut, decode=True)
    assert faults(found) == [(FileFault.INVERTED_MASK, "0_mask.png")]
    assert found.is_sound


def test_the_depth_that_holds_the_pictures_of_all_splits_is_told(nut: Path) -> None:
    assert inspect_data(nut).depth.statement is None
    Image.fromarray(np.full((30, 40), 3000, np.uint16)).save(nut / "train" / "good" / "2.png")
    assert inspect_data(nut).depth.depth.bits == 12
    Image.fromarray(np.full((30, 40), 9000, np.uint16)).save(nut / "test" / "bent" / "0.png")
    found = inspect_data(nut, decode=True)
    assert found.depth.depth.bits == 14
    assert found.is_sound


def test_a_defect_without_a_mask_is_told_and_stops_nothing(nut: Path) -> None:
    save(nut / "test" / "bent" / "1.png", noise(8))
    found = inspect_data(nut)
    assert faults(found) == [(FileFault.NO_MASK, "1.png")]
    assert found.is_sound
    assert (found.parts[1].defects, found.parts[1].marked) == (2, 1)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_picture_to_learn_from_and_to_test_is_told_across_categories(nut: Path, split: str) -> None:
    twin = nut.parent / "bolt" / split / "good" / "other name.png"
    twin.parent.mkdir(parents=True)
    shutil.copy(nut / "test" / "bent" / "0.png", twin)
    found = inspect_data(nut.parent)
    assert faults(found) == [(FileFault.TRAIN_AND_TEST, "0.png")]
    assert f"byte for byte, {twin} of {split}" in found.findings[0].text
    assert not found.is_sound
    assert found.copies == {}


def test_copies_within_a_split_are_counted_only(nut: Path) -> None:
    for name in ("2.png", "3.png"):
        shutil.copy(nut / "train" / "good" / "0.png", nut / "train" / "good" / name)
    shutil.copy(nut / "test" / "good" / "0.bmp", nut / "test" / "good" / "1.bmp")
    found = inspect_data(nut)
    assert found.copies == {"train": 2, "test": 1}
    assert found.findings == ()


def test_files_of_one_size_and_one_middle_are_not_taken_for_equal(nut: Path) -> None:
    picture = np.zeros((120, 120), np.uint8)
    Image.fromarray(picture).save(nut / "train" / "good" / "2.bmp")
    picture[0, 0] = 1
    Image.fromarray(picture).save(nut / "test" / "good" / "2.bmp")
    found = inspect_data(nut)
    assert (found.findings, found.copies) == ((), {})


def test_findings_come_in_order_of_fault(nut: Path) -> None:
    save(nut / "test" / "bent" / "1.png", noise(8))
    (nut / "train" / "good" / "x.png").write_bytes(b"")
    assert [fault for fault, _ in faults(inspect_data(nut))] == [FileFault.BROKEN, FileFault.NO_MASK]


def test_thousands_of_pictures_are_looked_at_and_not_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, masks = (tmp_path / "nut" / p for p in ("train/good", "test/bent", "ground_truth/bent"))
    for folder in (good, bad, masks):
        folder.mkdir(parents=True)
    for i in range(1200):
        Image.new("L", (2, 1), i % 256).save(good / f"{i}.png")
    mask = save(tmp_path / "mask.png", mask_of((3, 2))).read_bytes()
    for i in range(400):
        Image.new("RGB", (3, 2), (i % 256, i // 256, 7)).save(bad / f"{i}.jpg")
        (masks / f"{i}.png").write_bytes(mask)
    decoded: list[object] = []
    for place, name in (
        (module, "decode_file"),
        (module, "read_mask"),
        (ImageFile.ImageFile, "load"),
    ):
        monkeypatch.setattr(place, name, lambda *arguments: decoded.append(arguments))
    done: list[tuple[str, int, int]] = []
    found = inspect_data(tmp_path / "nut", advance=lambda what, n, total, note: done.append((what, n, total)))
    assert decoded == []
    assert [p.sizes for p in found.parts] == [{(1, 2): 1200}, {(2, 3): 400}]
    assert done[-1][1] == done[-1][2]
    assert [d for d in done if d[0] == "inspect"][-1] == ("inspect", 1600, 1600)


def test_no_more_than_a_window_is_held_while_results_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WINDOW", 10)
    begun: list[int] = []
    results = module._in_threads(begun.append, range(1000), "inspect", lambda *a: None)
    next(results)
    assert len(begun) <= 10


def test_it_needs_neither_torch_nor_scipy(nut: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from understudy.data.inspect import inspect_data; "
        f"inspect_data(Path({str(nut)!r})); assert not {{'torch', 'scipy', 'pyarrow'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no pictures"):
        inspect_data(tmp_path)
