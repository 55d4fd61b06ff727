"""The depth of a data set holds its largest value and keeps it bright; 8-bit files are not decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.data import bit_depth as module
from understudy.data.bit_depth import find_depth
from understudy.runtime.decoding import decode_file
from understudy.runtime.depth import Depth


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(("largest", "bits"), [(1200, 12), (3871, 12), (4095, 12), (9000, 14), (40_000, 16)])
def test_the_smallest_depth_that_holds_the_largest_value_is_found(
    tmp_path: Path, largest: int, bits: int
) -> None:
    paths = [
        save(tmp_path / f"{i}.png", np.full((4, 4), v, np.uint16))
        for i, v in enumerate((largest - 1, largest))
    ]
    found = find_depth([*paths, save(tmp_path / "flat.png", np.full((4, 4), 255, np.uint8))])
    assert (found.depth, found.pictures) == (Depth(bits=bits), 2)
    assert found.statement == (
        f"2 pictures of more than 8 bits: {bits} bits a channel (the largest value is {largest})"
    )


def test_8_bit_pictures_are_not_decoded_and_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "opened", lambda path: pytest.fail("decoded"))
    paths = [
        save(tmp_path / f"a.{suffix}", np.zeros((4, 4, 3), np.uint8))
        for suffix in ("png", "jpg", "bmp", "webp")
    ]
    found = find_depth(paths)
    assert found.depth == Depth(bits=8)
    assert found.statement is None


@pytest.mark.parametrize(
    ("largest", "white"),
    [
        *((0.01, 1), (0.7, 1), (1.002, 1), (1.05, 1), (1.1, 1.1), (2, 2), (12.3456, 12.3)),
        *((26, 100), (100, 100), (180, 255), (254.5, 255), (256, 255), (300, 1023), (4095, 4095)),
        *((66_000, 65_535), (1e6, 1e6)),
    ],
)
def test_the_white_of_floating_point_pictures_is_near_their_largest_value(
    tmp_path: Path, largest: float, white: float
) -> None:
    depth = find_depth([save(tmp_path / "a.tif", np.full((4, 4), largest, np.float32))]).depth
    assert depth == Depth(bits=8, white=white)


def test_one_pixel_above_white_does_not_make_a_set_black(tmp_path: Path) -> None:
    levels = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    paths = [save(tmp_path / f"{i}.tif", levels) for i in range(3)]
    overshoot = levels.copy()
    overshoot[0, 0] = 1.002
    found = find_depth([*paths, save(tmp_path / "overshoot.tif", overshoot)])
    assert len(np.unique(decode_file(paths[0], found.depth).picture)) == 256
    assert found.statement is not None
    assert found.statement.endswith("up to 1 (the largest is 1.002, taken as white)")
    overshoot[0, 0] = 300
    found = find_depth([*paths, save(tmp_path / "overshoot.tif", overshoot)])
    assert found.depth.white == 1
    assert found.statement is not None
    assert found.statement.endswith(
        f"1 of them go beyond and will be refused, such as {tmp_path}/overshoot.tif"
    )


def test_a_depth_that_is_given_is_that_of_floating_point_pictures_beyond_1(tmp_path: Path) -> None:
    unit = save(tmp_path / "a.tif", np.full((4, 4), 1.002, np.float32))
    byte = save(tmp_path / "b.tif", np.full((4, 4), 254.5, np.float32))
    assert find_depth([unit], bits=12).depth == Depth(bits=12, white=1)
    assert find_depth([unit, byte], bits=12).depth == Depth(bits=12, white=4095)


@pytest.mark.parametrize(
    ("kind", "largest", "bits"),
    [
        (np.uint16, 255, 8),
        (np.uint16, 899, 12),
        (np.int32, 255, 8),
        (np.int32, 256, 12),
        (np.int32, 2**20 - 1, 20),
    ],
)
def test_values_that_8_bits_hold_have_8_and_all_others_at_least_12(
    tmp_path: Path, kind: type, largest: int, bits: int
) -> None:
    path = save(tmp_path / "a.tif", np.full((4, 4), largest, kind))
    assert find_depth([path]).depth.bits == bits


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_that_most_pictures_are_dark_is_said_with_the_brightest(tmp_path: Path, kind: type) -> None:
    paths = [save(tmp_path / f"{v}.tif", np.full((4, 4), v, kind)) for v in (90, 90, 3500)]
    found = find_depth(paths)
    assert found.statement is not None
    assert "; half of them have no value above 90 and will be dark: " in found.statement
    assert f"mend the brightest, {paths[2]}" in found.statement
    assert not find_depth([paths[2]]).doubts
    assert not find_depth(paths, bits=12).doubts


def test_pixels_that_are_no_number_do_not_set_the_white(tmp_path: Path) -> None:
    broken = np.full((4, 4), 0.5, np.float32)
    paths = [save(tmp_path / "a.tif", broken)]
    for name, value in (("b", np.nan), ("c", np.inf), ("d", -np.inf)):
        broken[0, 0] = value
        paths.append(save(tmp_path / f"{name}.tif", broken))
    found = find_depth(paths)
    assert (found.depth, found.pictures, found.brightest) == (Depth(bits=8, white=1), 1, 0.5)


def test_a_depth_that_is_given_is_taken_and_said(tmp_path: Path) -> None:
    dim = save(tmp_path / "a.png", np.full((4, 4), 100, np.uint16))
    found = find_depth([dim], bits=12)
    assert found.depth == Depth(bits=12)
    assert found.statement == "1 pictures of more than 8 bits: 12 bits a channel, as given"


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    deep = save(tmp_path / "b.tif", np.full((40, 40), 4000, np.uint16))
    (tmp_path / "c.tif").write_bytes(deep.read_bytes()[:900])
    assert find_depth([tmp_path / "a.png", tmp_path / "gone.tif", tmp_path / "c.tif", deep]).depth.bits == 12
