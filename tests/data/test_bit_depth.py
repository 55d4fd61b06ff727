"""The depth of a data set is the smallest that holds its largest value; 8-bit files are not decoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from understudy.data import bit_depth as module
from understudy.data.bit_depth import find_depth
from understudy.runtime.depth import Depth


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize(
    ("largest", "bits"), [(200, 8), (1000, 10), (3871, 12), (4095, 12), (9000, 14), (40_000, 16)]
)
def test_the_smallest_depth_that_holds_the_largest_value_is_found(
    tmp_path: Path, largest: int, bits: int
) -> None:
    paths = [save(tmp_path / f"{i}.png", np.full((4, 4), v, np.uint16)) for i, v in enumerate((7, largest))]
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


def test_the_white_of_floating_point_pictures_is_1_or_that_of_the_smallest_depth(tmp_path: Path) -> None:
    unit = save(tmp_path / "a.tif", np.full((4, 4), 0.7, np.float32))
    byte = save(tmp_path / "b.tif", np.full((4, 4), 254.5, np.float32))
    assert find_depth([unit]).depth.white == 1
    assert find_depth([unit, byte]).depth.white == 255
    assert find_depth([byte], bits=12).depth == Depth(bits=12, white=4095)


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
