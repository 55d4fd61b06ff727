"""Brightness says how light a canvas is, sharpness how fine, whatever the light."""

from __future__ import annotations

import math
import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from understudy.runtime.images import Picture
from understudy.runtime.light import brightness, sharpness


def textured(seed: int, height: int = 64, width: int = 48) -> Picture:
    """A picture with coarse and fine detail, in the middle of the range of values."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(60, 180, (8, 8, 3), dtype=np.uint8)).resize((width, height))
    return (np.asarray(coarse) + rng.integers(0, 40, (height, width, 3))).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "luminance"),
    [((0, 0, 0), 0), ((255, 255, 255), 1), ((255, 0, 0), 0.299), ((0, 255, 0), 0.587), ((0, 0, 255), 0.114)],
)
def test_brightness_is_the_luminance_of_a_picture_of_one_colour(
    colour: tuple[int, int, int], luminance: float
) -> None:
    assert brightness(np.full((9, 7, 3), colour, np.uint8)) == pytest.approx(luminance, abs=0.003)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_brightness_is_the_mean_over_all_pixels(seed: int, height: int, width: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    literal = (picture @ np.array([77, 150, 29]) / 256 / 255).mean()
    assert brightness(picture) == pytest.approx(literal, abs=1e-9)
    assert brightness(picture, np.ones((height, width), bool)) == pytest.approx(literal, abs=1e-9)


def test_sharpness_is_the_log_of_the_laplacians_share_of_the_variance() -> None:
    picture = textured(0)
    gray = (picture.astype(int) @ np.array([77, 150, 29])) // 256
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    literal = np.log((laplacian.var() + 1 / 12) / (inner.var() + 1 / 12))
    assert sharpness(picture) == pytest.approx(literal, abs=1e-5)


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.1])
def test_light_alone_moves_brightness_and_not_sharpness(factor: float) -> None:
    picture = textured(1)
    other = (picture * factor).round().astype(np.uint8)
    assert brightness(other) == pytest.approx(factor * brightness(picture), abs=0.005)
    assert sharpness(other) == pytest.approx(sharpness(picture), abs=0.02)


def test_a_blur_lowers_sharpness_and_leaves_brightness() -> None:
    picture = textured(2)
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1)))
    assert sharpness(blurred) < sharpness(picture) - 1
    assert brightness(blurred) == pytest.approx(brightness(picture), abs=0.005)


def test_pixels_that_do_not_count_change_nothing() -> None:
    picture, valid = textured(3), np.zeros((64, 48), bool)
    valid[10:40, 5:30] = True
    other = np.where(valid[..., None], picture, 255).astype(np.uint8)
    assert brightness(other, valid) == brightness(picture[10:40, 5:30])
    assert sharpness(other, valid) == pytest.approx(sharpness(picture[10:40, 5:30]), abs=1e-6)


def test_where_nothing_counts_there_is_no_figure_and_a_flat_picture_has_one() -> None:
    flat, none = np.full((9, 9, 3), 7, np.uint8), np.zeros((9, 9), bool)
    assert sharpness(flat) == pytest.approx(0)
    assert math.isnan(brightness(flat, none))
    assert math.isnan(sharpness(flat, none))
    assert math.isnan(sharpness(flat[:2]))


def test_both_take_under_a_few_milliseconds() -> None:
    picture = textured(4, 512, 512)
    best = min(timeit.repeat(lambda: (brightness(picture), sharpness(picture)), number=1, repeat=20))
    assert best < 5e-3  # 0.8 ms on an idle core; a busy machine is slower
