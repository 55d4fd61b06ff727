"""Scores of all products mean the same: deviations above what is usual of the product, at its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from understudy.runtime.usual import CELL, HIGHEST, ProductUsual, cells_of, excess_of

SIDE = 64
GRID = (SIDE // CELL, SIDE // CELL)
EVEN = ProductUsual(2.0, np.full(GRID, 0.5, np.float32), 1.0, 0.25, 20)


def naive_cells(anomaly_map: np.ndarray, valid: np.ndarray) -> np.ndarray:
    height, width = anomaly_map.shape
    rows = []
    for top in range(0, height, CELL):
        row = []
        for left in range(0, width, CELL):
            here = np.s_[top : top + CELL, left : left + CELL]
            row.append(anomaly_map[here][valid[here]].mean() if valid[here].any() else np.nan)
        rows.append(row)
    return np.array(rows, np.float32)


@given(
    st.tuples(st.integers(1, 11), st.integers(1, 11)).flatmap(
        lambda size: st.tuples(
            arrays(np.float32, size, elements=st.floats(-100, 100, width=32)), arrays(np.bool_, size)
        )
    )
)
def test_a_cell_is_the_mean_of_its_pixels_that_count(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    anomaly_map, valid = drawn
    np.testing.assert_allclose(cells_of(anomaly_map, valid), naive_cells(anomaly_map, valid), atol=1e-4)
    everything = np.ones(anomaly_map.shape, bool)
    np.testing.assert_allclose(cells_of(anomaly_map), naive_cells(anomaly_map, everything), atol=1e-4)


def test_the_excess_is_the_mean_of_the_highest_cells_and_their_number_is_that_of_a_window() -> None:
    cells = np.random.default_rng(0).normal(size=(40, 40))
    for window in (32, 256, 512):
        n = max(1, round(HIGHEST * (window / CELL) ** 2))
        assert excess_of(cells, window) == pytest.approx(np.sort(cells, axis=None)[-n:].mean())


def test_cells_that_do_not_count_have_no_part_in_the_excess() -> None:
    cells = np.array([[np.nan, 3.0], [1.0, np.nan]])
    assert excess_of(cells, 16) == 3.0
    assert excess_of(cells, 256) == 2.0  # fewer cells count than are taken
    assert excess_of(np.full((2, 2), np.nan), 256) == 0.0


def test_a_score_counts_deviations_from_the_mean_of_good_pictures() -> None:
    anomaly_map = np.full((SIDE, SIDE), 2.0, np.float32)
    assert EVEN.score(anomaly_map, None, SIDE) == pytest.approx((0 - 1.0) / 0.25)
    anomaly_map[8:12, 8:12] = 3.0  # one cell, two spreads above the level
    assert EVEN.score(anomaly_map, None, SIDE) == pytest.approx((2 - 1.0) / 0.25)


def test_the_score_of_a_product_does_not_depend_on_the_unit_of_its_maps() -> None:
    rng = np.random.default_rng(0)
    anomaly_map = rng.random((SIDE, SIDE), np.float32)
    usual = ProductUsual(0.5, rng.random(GRID, np.float32) + np.float32(0.1), 1.0, 0.25, 20)
    other = replace(usual, level=0.5 * 8 + 3, spread=usual.spread * 8)
    assert other.score(anomaly_map * 8 + 3, None, SIDE) == pytest.approx(
        usual.score(anomaly_map, None, SIDE), rel=1e-4
    )
    np.testing.assert_allclose(other.relative(anomaly_map * 8 + 3), usual.relative(anomaly_map), atol=1e-4)


def test_what_is_much_at_a_quiet_place_is_little_where_good_pictures_vary() -> None:
    spread = np.full(GRID, 0.5, np.float32)
    spread[:, :4] = 5.0
    usual = replace(EVEN, spread=spread)
    rim, middle = (np.full((SIDE, SIDE), 2.0, np.float32) for _ in range(2))
    rim[20:32, 2:12] = middle[20:32, 40:52] = 5.0
    assert usual.score(rim, None, SIDE) < usual.score(middle, None, SIDE)
    assert usual.relative(rim).max() < usual.relative(middle).max()


def test_the_relative_map_has_the_size_of_the_map_and_the_spread_of_each_place() -> None:
    spread = np.tile(np.linspace(0.5, 2, GRID[1], dtype=np.float32), (GRID[0], 1))
    for size in ((SIDE, SIDE), (SIDE - 2, SIDE - 3)):  # whole cells, and cut ones at two borders
        relative = replace(EVEN, spread=spread).relative(np.full(size, 3.0, np.float32))
        assert relative.shape == size
        assert relative.dtype == np.float32
        across = 1 / relative.mean(axis=0)
        assert (np.diff(across) > -1e-6).all()
        assert across[0] == pytest.approx(0.5, rel=0.05)
        assert across[-1] == pytest.approx(2, rel=0.05)


def test_a_picture_of_another_shape_than_those_learned_from_has_one_spread() -> None:
    spread = np.full(GRID, 1.0, np.float32)
    spread[:8] = 7.0
    usual = replace(EVEN, spread=spread)
    one = np.sqrt((1 + 49) / 2)
    wide = np.full((SIDE, 2 * SIDE), 3.0, np.float32)
    np.testing.assert_allclose(usual.relative(wide), 1 / one, rtol=1e-6)
    assert usual.score(wide, None, SIDE) == pytest.approx((1 / one - 1) / 0.25, rel=1e-6)
    everywhere = replace(EVEN, spread=np.full((1, 1), one, np.float32))
    assert usual.score(wide, None, SIDE) == everywhere.score(wide, None, SIDE)


def test_pixels_that_do_not_count_have_no_part_in_the_score() -> None:
    valid = np.ones((SIDE, SIDE), bool)
    valid[:30] = False
    calm, loud = (np.full((SIDE, SIDE), 2.5, np.float32) for _ in range(2))
    loud[:30] = 1e6
    assert EVEN.score(loud, valid, SIDE) == EVEN.score(calm, valid, SIDE) < EVEN.score(loud, None, SIDE)


def test_a_map_of_no_numbers_has_no_score() -> None:
    """A score of NaN is a REVIEW; a cell of NaN must not be left out like one that does not count."""
    for broken in ([np.nan, 0], [np.inf, -np.inf]):
        anomaly_map = np.zeros((SIDE, SIDE), np.float32)
        anomaly_map[0, :2] = broken
        assert np.isnan(EVEN.score(anomaly_map, None, SIDE))
        valid = np.ones((SIDE, SIDE), bool)
        valid[0, :2] = False
        assert np.isfinite(EVEN.score(anomaly_map, valid, SIDE))
