"""Values of more than 8 bits become 8 bits by a recorded factor, and are refused beyond it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import PictureError
from understudy.runtime.depth import Depth, bits_of, row_bands, to_eight_bits
from understudy.runtime.preprocess import Preprocess

HERE = Path("a.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16, 24, 32])
def test_black_is_0_and_white_255_at_every_depth(bits: int) -> None:
    top = 2**bits - 1
    values = np.array([[0, top // 2, top]], np.uint32)
    assert to_eight_bits(values, Depth(bits=bits), HERE).tolist() == [[0, 127, 255]]


@given(st.sampled_from([10, 12, 14, 16, 20, 32]), st.data())
def test_a_value_is_scaled_exactly(bits: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(0, 2**bits - 1))
    found = to_eight_bits(np.array([[value]], np.uint32), Depth(bits=bits), HERE)
    assert int(found[0, 0]) == value * 255 // (2**bits - 1)


def test_a_12_bit_camera_keeps_all_256_levels() -> None:
    values = np.arange(4096, dtype=np.uint16)[None]
    assert len(np.unique(to_eight_bits(values, Depth(bits=12), HERE))) == 256
    assert len(np.unique(to_eight_bits(values, None, HERE))) == 16  # as old models do


def test_16_bits_are_what_models_without_a_depth_take() -> None:
    values = np.arange(65536, dtype=np.uint16)[None]
    assert np.array_equal(to_eight_bits(values, Depth(bits=16), HERE), to_eight_bits(values, None, HERE))
    assert np.array_equal(to_eight_bits(values, None, HERE), (values // 257).astype(np.uint8))


def test_without_a_depth_values_beyond_16_bits_are_clipped_as_they_were() -> None:
    assert to_eight_bits(np.array([[-5, 70_000]], np.int32), None, HERE).tolist() == [[0, 255]]


def test_a_value_beyond_the_depth_is_refused_with_the_depth_that_holds_it() -> None:
    with pytest.raises(PictureError, match=r"a\.png has the value 1500, beyond the 10 bits .*--bit-depth 12"):
        to_eight_bits(np.array([[7, 1500]], np.uint16), Depth(bits=10), HERE)
    with pytest.raises(PictureError, match="has the value -1, and black is 0"):
        to_eight_bits(np.array([[-1, 3]], np.int32), Depth(bits=10), HERE)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_point_values_reach_from_black_to_the_recorded_white(kind: type) -> None:
    eight = np.arange(256)[None]
    assert np.array_equal(to_eight_bits((eight / 255).astype(kind), Depth(), HERE), eight)
    assert np.array_equal(to_eight_bits(eight.astype(kind), Depth(white=255), HERE), eight)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_floating_point_values_up_to_5_percent_above_white_are_white(white: float) -> None:
    values = np.array([[0, 1, 1.002, 1.05]], np.float32) * np.float32(white)
    assert to_eight_bits(values, Depth(white=white), HERE).tolist() == [[0, 255, 255, 255]]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "has the floating-point value 1.5, and black is 0 and white 1 in the pictures learned from"),
        (1.06, "value 1.06"),
        (-0.5, "has the floating-point value -0.5"),
        (np.nan, "no finite number"),
        (np.inf, "no finite number"),
    ],
)
def test_floating_point_values_outside_are_refused(value: float, said: str) -> None:
    with pytest.raises(PictureError, match=said):
        to_eight_bits(np.array([[0.5, value]], np.float32), Depth(bits=12), HERE)


def test_colours_are_scaled_channel_by_channel_and_large_pictures_in_bands() -> None:
    values = np.random.default_rng(0).integers(0, 4096, (900, 700, 3)).astype(np.uint16)
    found = to_eight_bits(values, Depth(bits=12), HERE)
    assert len(list(row_bands(900, 2100))) > 1
    assert np.array_equal(found, values.astype(int) * 255 // 4095)


def test_bands_cover_every_row_once() -> None:
    assert [row for top, bottom in row_bands(2500, 2000) for row in range(top, bottom)] == list(range(2500))


def test_the_smallest_depth_that_holds_a_value_is_found() -> None:
    found = {0: 8, 255: 8, 256: 10, 1023: 10, 4095: 12, 4096: 14, 65535: 16, 65536: 18, 2**32 - 1: 32}
    assert {value: bits_of(value) for value in found} == found


def test_preprocessing_of_old_models_has_no_depth_and_a_depth_survives_the_manifest() -> None:
    old = {"image_size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert Preprocess.model_validate(old).depth is None
    new = Preprocess.model_validate({**old, "depth": {"bits": 12, "white": 255.0}})
    assert Preprocess.model_validate_json(new.model_dump_json()) == new
    assert new.depth == Depth(bits=12, white=255)
