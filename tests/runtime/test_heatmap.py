"""A heat map is clear where a picture is good and bright where it is not."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from understudy.runtime.heatmap import colour_span, heatmap, outline, overlay_png


def test_heat_maps_are_clear_where_low_and_bright_where_high() -> None:
    picture = np.full((8, 8, 3), 100, np.uint8)
    field = np.zeros((8, 8), np.float32)
    field[4:, :] = 1
    shown = heatmap(picture, field, 0.2, 0.9)
    assert np.array_equal(shown[:3], picture[:3])
    assert shown[-1, 0].astype(int).sum() > 450


def test_a_map_of_any_resolution_is_laid_over_the_picture_in_its_own_size() -> None:
    picture = np.full((30, 50, 3), 100, np.uint8)
    shown = heatmap(picture, np.ones((8, 8), np.float32), 0.0, 1.0)
    assert (shown.shape, shown.dtype) == (picture.shape, np.uint8)
    assert len(np.unique(shown.reshape(-1, 3), axis=0)) == 1


def test_colours_span_the_limit_of_a_defect_or_the_peaks_where_there_is_no_limit() -> None:
    low, high = colour_span(2.0, [9.0])
    assert 0 < low < 2.0 < high
    assert colour_span(2.0, [9.0]) == colour_span(2.0, [0.1])
    low, high = colour_span(None, [1.0, 2.0, 4.0])
    assert low < 2.0
    assert high == 4.0


def test_an_outline_is_drawn_two_pixels_wide_inside_the_mask() -> None:
    picture, mask = np.zeros((12, 12, 3), np.uint8), np.zeros((12, 12), bool)
    mask[2:10, 2:10] = True
    drawn = outline(picture, mask).any(axis=2)
    expected = mask.copy()
    expected[4:8, 4:8] = False
    np.testing.assert_array_equal(drawn, expected)
    assert not picture.any()


def test_a_large_picture_is_coloured_as_its_parts_are() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (1300, 1000, 3), np.uint8)
    field = rng.random((1300, 1000)).astype(np.float32)
    whole = heatmap(picture, field, 0.2, 0.9)
    assert np.array_equal(whole[1100:], heatmap(picture[1100:], field[1100:], 0.2, 0.9))


def test_the_overlay_laid_over_a_picture_is_its_heat_map() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    anomaly_map = np.linspace(-1, 4, 600, dtype=np.float32).reshape(20, 30)
    overlay = Image.open(io.BytesIO(overlay_png(anomaly_map, 0.5, 3.0))).convert("RGBA")
    laid = Image.alpha_composite(Image.fromarray(picture).convert("RGBA"), overlay).convert("RGB")
    expected = heatmap(picture, anomaly_map, 0.5, 3.0)
    assert np.abs(np.asarray(laid, np.int16) - expected).max() <= 4


def test_an_overlay_is_transparent_where_the_map_is_no_number() -> None:
    anomaly_map = np.array([[np.nan, 9.0]], np.float32)
    overlay = np.asarray(Image.open(io.BytesIO(overlay_png(anomaly_map, 0.0, 1.0))).convert("RGBA"))
    assert overlay[0, 0, 3] == 0
    assert overlay[0, 1, 3] > 100
