"""Windows show what they should, and maps of windows become one map without seams."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from understudy.runtime.preprocess import Preprocess

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.5, 1.0)
STRETCHED = Preprocess(image_size=32, mean=MEAN, std=STD)
PADDED = Preprocess(image_size=32, mean=MEAN, std=STD, keep_aspect=True)

sides = st.integers(1, 150)
tilings = st.tuples(st.integers(32, 48), st.integers(0, 24)).filter(lambda t: t[1] <= t[0] // 2)


def tiled(tile: int, overlap: int, image_size: int = 32) -> Preprocess:
    return Preprocess(image_size=image_size, mean=MEAN, std=STD, tile=tile, overlap=overlap)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_a_stretched_picture_is_one_window_of_three_channels() -> None:
    canvas = STRETCHED.resize(noise(20, 50))
    assert canvas.shape == (32, 32, 3)
    assert STRETCHED.corners((32, 32)) == [(0, 0)]
    np.testing.assert_array_equal(STRETCHED.cut(canvas, (0, 0)), canvas)


@given(sides, sides)
def test_padding_keeps_the_aspect_and_marks_what_it_adds(height: int, width: int) -> None:
    canvas = PADDED.resize(noise(height, width))
    h, w, _ = canvas.shape
    assert max(h, w) == 32
    assert min(h, w) == max(1, round(32 * min(height, width) / max(height, width)))
    window = PADDED.cut(canvas, (0, 0))
    np.testing.assert_array_equal(window[:h, :w, :3], canvas)
    assert (window[:h, :w, 3] == 255).all()
    assert window[..., 3].sum() == 255 * h * w
    assert PADDED.join([np.ones((32, 32), np.float32)], [(0, 0)], (h, w)).shape == (h, w)


def test_padding_becomes_the_mean_colour_exactly() -> None:
    images, valid = PADDED.inputs(PADDED.cut(PADDED.resize(noise(10, 32)), (0, 0))[None])
    assert valid is not None
    assert (images[:, :, 10:] == 0).all()
    assert (valid[:, :, 10:] == 0).all()
    assert (valid[:, :, :10] == 1).all()


@given(sides, sides, tilings)
def test_every_pixel_is_in_a_tile_and_neighbours_share_the_overlap(
    height: int, width: int, tiling: tuple[int, int]
) -> None:
    look = tiled(*tiling, image_size=tiling[0])
    side, overlap = tiling
    canvas = look.canvas((height, width))
    assert canvas == (height, width)
    corners = look.corners(canvas)
    for axis, length in enumerate(canvas):
        starts = sorted({corner[axis] for corner in corners})
        assert starts[0] == 0
        assert starts[-1] == max(0, length - side)
        assert all(b - a <= side - overlap for a, b in pairwise(starts))
    assert len(corners) == len({t for t, _ in corners}) * len({left for _, left in corners})


@given(sides, sides, tilings)
def test_cutting_a_map_and_joining_it_gives_the_map(height: int, width: int, tiling: tuple[int, int]) -> None:
    look = tiled(*tiling)
    canvas = look.canvas((height, width))
    whole = np.random.default_rng(1).random(canvas).astype(np.float32)
    padded = np.pad(whole, ((0, 32), (0, 32)))
    corners = look.corners(canvas)
    maps = [padded[top : top + 32, left : left + 32] for top, left in corners]
    np.testing.assert_allclose(look.join(maps, corners, canvas), whole, rtol=1e-6)


def test_between_two_tiles_one_fades_into_the_other_without_a_step() -> None:
    look = tiled(64, 16, image_size=64)
    corners = look.corners((64, 112))
    assert corners == [(0, 0), (0, 48)]
    row = look.join([np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32)], corners, (64, 112))[0]
    assert (row[:48] == 0).all()
    assert (row[64:] == 1).all()
    steps = np.diff(row)
    assert (steps >= 0).all()
    assert steps.max() < 2 / 16


def test_tiles_without_anything_that_counts_are_left_out() -> None:
    look = tiled(32, 0)
    valid = np.zeros((32, 96), bool)
    valid[5, 40] = True
    assert look.corners((32, 96), valid) == [(0, 32)]
    window = look.cut(noise(32, 96), (0, 32), valid)
    assert window[..., 3].sum() == 255
    joined = look.join([np.ones((32, 32), np.float32)], [(0, 32)], (32, 96))
    assert joined[:, 32:64].all()
    assert not joined[:, :32].any()


def test_a_tile_may_be_scored_at_another_size_than_its_own() -> None:
    look = tiled(64, 16, image_size=32)
    assert look.canvas((128, 200)) == (64, 100)
    assert look.resize(noise(128, 200)).shape == (64, 100, 3)
    assert look.corners((64, 100)) == [(t, left) for t in (0, 16, 32) for left in (0, 23, 45, 68)]


@pytest.mark.parametrize(("tile", "overlap"), [(None, 1), (32, 17), (64, 33)])
def test_an_overlap_beyond_half_a_tile_is_refused(tile: int | None, overlap: int) -> None:
    with pytest.raises(ValidationError, match="the overlap must be"):
        Preprocess(image_size=32, mean=MEAN, std=STD, tile=tile, overlap=overlap)
