"""Products and parts, and the tools that paint them."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.lab.factory.scenes import (
    PARTS,
    PRODUCTS,
    REACH,
    area_of,
    coordinates,
    expose,
    hexagon,
    noise,
    paint,
    soft_below,
    turned,
)

SIZE = 128


@pytest.mark.parametrize("category", list(PRODUCTS))
def test_good_pieces_differ_a_little_and_products_differ_a_lot(category: str) -> None:
    rng = np.random.default_rng(0)
    pieces = [expose(PRODUCTS[category](rng, 64).picture, rng).astype(float) for _ in range(4)]
    mean = np.mean(pieces, axis=0)
    own = np.mean([np.abs(p - mean).mean() for p in pieces])
    others = [expose(PRODUCTS[c](rng, 64).picture, rng).astype(float) for c in PRODUCTS if c != category]
    assert 0 < own < min(np.abs(o - mean).mean() for o in others)


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_parts_are_large_enough_to_be_seen_and_stay_within_their_reach(kind: str) -> None:
    x, y = coordinates(SIZE)
    _, coverage = PARTS[kind](np.random.default_rng(0), x, y, SIZE)
    assert coverage[np.hypot(x, y) > REACH + 2 / SIZE].max() == 0
    rows, columns = np.nonzero(coverage > 0.5)
    across = max(np.ptp(rows), np.ptp(columns)) + 1
    assert 1 / 6 < across / SIZE < 1 / 4
    assert area_of(kind, SIZE) == (coverage > 0.5).sum()


def test_coordinates_span_two_and_turn_about_their_own_origin() -> None:
    x, y = coordinates(4)
    np.testing.assert_allclose(x[0], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(y[:, 0], x[0])
    moved, _ = coordinates(4, x0=0.25)
    assert moved[0, 2] == 0
    right, up = turned(np.array(1.0), np.array(0.0), np.pi / 2)
    np.testing.assert_allclose((right, up), (0, -1), atol=1e-12)


def test_an_edge_is_soft_by_three_halves_of_a_pixel_and_the_rest_is_all_or_nothing() -> None:
    x, _ = coordinates(100)
    covered = soft_below(np.abs(x), 0.5, 100)
    assert set(np.unique(covered[0].round(9))) >= {0.0, 1.0}
    assert ((covered[0] > 0) & (covered[0] < 1)).sum() == 4  # two at each side
    assert covered[0].sum() == pytest.approx(50, abs=1)


def test_paint_covers_by_the_share_that_is_covered() -> None:
    picture = np.full((1, 3, 3), 0.2)
    painted = paint(picture, (1.0, 0.0, 0.6), np.array([[0.0, 0.5, 1.0]]))
    np.testing.assert_allclose(painted[0], [[0.2, 0.2, 0.2], [0.6, 0.1, 0.4], [1.0, 0.0, 0.6]])


def test_noise_has_mean_0_and_spread_1_whatever_its_grain() -> None:
    rng = np.random.default_rng(0)
    for smooth in (0.5, 4.0, (1.0, 8.0)):
        drawn = noise(rng, 64, smooth)
        assert (drawn.mean(), drawn.std()) == pytest.approx((0, 1), abs=1e-9)


def test_a_hexagon_is_as_wide_across_every_flat() -> None:
    angles = np.arange(6) * np.pi / 3
    np.testing.assert_allclose(hexagon(np.cos(angles), np.sin(angles)), 1)
    corner = np.pi / 6
    assert hexagon(np.array(np.cos(corner)), np.array(np.sin(corner))) == pytest.approx(np.sqrt(3) / 2)
