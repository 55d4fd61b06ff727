"""Regions and the level up to which one survives are what scipy finds, level by level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from understudy.runtime.regions import find_regions, highest_threshold_with_region, large_regions
from understudy.types import Region

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
masks = shapes.flatmap(lambda shape: arrays(np.bool_, shape))
maps = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.integers(0, 6).map(float)))


def areas(mask: np.ndarray) -> np.ndarray:
    """Of each pixel, the pixels of its region; none outside."""
    labels, n = ndimage.label(mask, np.ones((3, 3)))
    return np.bincount(labels.ravel(), minlength=n + 1)[labels] * mask


@given(masks, st.integers(1, 12))
def test_regions_below_the_least_area_are_dropped_and_others_kept_whole(
    mask: np.ndarray, min_area: int
) -> None:
    np.testing.assert_array_equal(large_regions(mask, min_area), areas(mask) >= min_area)


def test_winding_regions_are_one() -> None:
    spiral = np.ones((41, 41), bool)
    for i in range(1, 20, 2):  # walls with one gap each, on alternating sides
        spiral[2 * i] = False
        spiral[2 * i, 0 if i % 4 == 1 else -1] = True
    assert large_regions(spiral, int(spiral.sum())).all(where=spiral)
    assert not large_regions(spiral, int(spiral.sum()) + 1).any()


@given(maps, st.integers(1, 12))
def test_the_level_is_the_highest_at_which_a_region_survives(anomaly_map: np.ndarray, min_area: int) -> None:
    min_area = min(min_area, anomaly_map.size)
    surviving = [v for v in np.unique(anomaly_map) if areas(anomaly_map >= v).max() >= min_area]
    assert highest_threshold_with_region(anomaly_map, min_area) == max(surviving)


@given(maps, st.integers(1, 12), st.integers(-1, 7))
def test_above_a_threshold_there_is_a_region_exactly_if_the_level_is(
    anomaly_map: np.ndarray, min_area: int, threshold: float
) -> None:
    min_area = min(min_area, anomaly_map.size)
    found = large_regions(anomaly_map > threshold, min_area).any()
    assert found == (highest_threshold_with_region(anomaly_map, min_area) > threshold)


def test_a_region_of_one_pixel_survives_up_to_the_maximum_and_one_of_all_up_to_the_minimum() -> None:
    anomaly_map = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    assert highest_threshold_with_region(anomaly_map, 1) == pytest.approx(anomaly_map.max())
    assert highest_threshold_with_region(anomaly_map, 1200) == pytest.approx(anomaly_map.min())


def test_a_large_noisy_map_has_the_regions_that_scipy_finds() -> None:
    noise = np.random.default_rng(1).random((200, 300))
    for share in (0.3, 0.4, 0.6):
        np.testing.assert_array_equal(large_regions(noise < share, 25), areas(noise < share) >= 25)


@given(maps, st.integers(1, 6), st.integers(0, 5))
def test_regions_found_are_those_of_scipy_the_highest_peak_first(
    anomaly_map: np.ndarray, min_area: int, above: int
) -> None:
    labels, _ = ndimage.label(anomaly_map > above, np.ones((3, 3)))
    expected = []
    for i, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        own = labels == i
        if own.sum() >= min_area:
            box = (columns.start, rows.start, columns.stop, rows.stop)
            expected.append(Region(*box, area=int(own.sum()), peak=float(anomaly_map[own].max())))
    found = find_regions(anomaly_map, above, min_area, anomaly_map.shape)
    assert sorted(found) == sorted(expected)
    assert [r.peak for r in found] == sorted((r.peak for r in found), reverse=True)


@given(st.integers(1, 300), st.sampled_from([8, 14, 32, 224]))
def test_a_box_never_ends_beyond_the_picture(width: int, side: int) -> None:
    (found,) = find_regions(np.ones((side, side), np.float32), 0.5, 1, (width, width))
    assert (found.left, found.top, found.right, found.bottom) == (0, 0, width, width)
    assert found.area == width * width


def test_an_empty_map_has_no_regions() -> None:
    empty = np.zeros((0, 0), np.float32)
    assert large_regions(empty > 0, 4).shape == (0, 0)
    assert find_regions(np.zeros((3, 4), np.float32), 0.0, 1, (30, 40)) == ()
