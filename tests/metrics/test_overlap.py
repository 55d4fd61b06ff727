"""AUPRO and AU-sPRO against literal loops: every threshold, every region, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from understudy.data.records import Saturation
from understudy.metrics import Channel, au_spro, aupro

Pixel = tuple[int, int, int]
coarse_maps = hnp.arrays(np.float32, (2, 4, 5), elements=st.integers(0, 5).map(lambda v: v / 4))  # many ties
masks_of_two = hnp.arrays(bool, (2, 4, 5))
limits = st.sampled_from([0.01, 0.05, 0.3, 1.0])


def literal_area(
    maps: np.ndarray, good: np.ndarray, overlap: Callable[[np.ndarray], float], limit: float
) -> float:
    """Area under the overlap over the false-positive rate, by trapezoids, up to the limit."""
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        curve.append(((above & good).sum() / good.sum(), overlap(above)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if x0 >= limit:
            break
        if x1 > limit:
            y1, x1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0), limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def regions_by_flood_fill(masks: np.ndarray) -> list[set[Pixel]]:
    """Over eight neighbours."""
    regions = []
    for k, mask in enumerate(masks):
        left = {tuple(p) for p in np.argwhere(mask)}
        while left:
            todo, region = [left.pop()], set()
            while todo:
                y, x = todo.pop()
                region.add((k, y, x))
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
                left -= near
                todo += near
            regions.append(region)
    return regions


@given(coarse_maps, masks_of_two, limits)
def test_aupro_equals_literal_loops(maps: np.ndarray, masks: np.ndarray, limit: float) -> None:
    regions = regions_by_flood_fill(masks)
    found = aupro(list(maps), list(masks), limit)
    if not regions or masks.all():
        assert found is None
        return

    def pro(above: np.ndarray) -> float:
        return float(np.mean([np.mean([above[p] for p in region]) for region in regions]))

    assert found == pytest.approx(literal_area(maps, ~masks, pro, limit), abs=1e-9)


@given(
    coarse_maps,
    st.lists(st.tuples(st.integers(0, 1), hnp.arrays(bool, (4, 5)), st.floats(0, 1)), max_size=5),
    limits,
)
def test_au_spro_equals_literal_loops(
    maps: np.ndarray, drawn: list[tuple[int, np.ndarray, float]], limit: float
) -> None:
    """Channels may overlap, touch the border, have several parts, and saturate anywhere."""
    channels: list[list[Channel]] = [[], []]
    good = np.ones(maps.shape, bool)
    for k, mask, share in drawn:
        if mask.any():
            channels[k].append(Channel(mask, max(1, int(share * mask.sum()))))
            good[k] &= ~mask
    found = au_spro(list(maps), channels, limit)
    if not any(channels) or not good.any():
        assert found is None
        return

    def spro(above: np.ndarray) -> float:
        return float(
            np.mean([min((above[k] & m).sum() / s, 1) for k, own in enumerate(channels) for m, s in own])
        )

    assert found == pytest.approx(literal_area(maps, good, spro, limit), abs=1e-9)


@given(coarse_maps, masks_of_two, limits)
def test_spro_that_saturates_at_the_whole_region_is_pro(
    maps: np.ndarray, masks: np.ndarray, limit: float
) -> None:
    channels: list[list[Channel]] = [[], []]
    for region in regions_by_flood_fill(masks):
        alone = np.zeros((4, 5), bool)
        for _, y, x in region:
            alone[y, x] = True
        channels[next(iter(region))[0]].append(Channel(alone, len(region)))
    found, expected = au_spro(list(maps), channels, limit), aupro(list(maps), list(masks), limit)
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-9))


def test_a_perfect_map_scores_one_and_an_inverted_one_zero() -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = mask[6, 6] = True
    assert aupro([mask.astype(np.float32)], [mask]) == pytest.approx(1)
    assert aupro([1 - mask.astype(np.float32)], [mask]) == pytest.approx(0)


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((20, 20), bool)
    mask[:10, :10], mask[15, 15] = True, True
    only_small = np.zeros((20, 20), np.float32)
    only_small[15, 15] = 1
    assert aupro([only_small], [mask], limit=0.01) == pytest.approx(0.5, abs=0.01)


def test_diagonal_neighbours_are_one_region() -> None:
    mask = np.eye(4, dtype=bool)
    half = np.zeros((4, 4), np.float32)
    half[0, 0] = 1  # a quarter of one region; a whole one of four if diagonals did not connect
    assert aupro([half], [mask], limit=0.001) == pytest.approx(0.25, abs=0.01)


def test_a_part_of_a_defect_can_be_all_that_must_be_found() -> None:
    mask = np.zeros((10, 10), bool)
    mask[:, :5] = True
    tenth = np.zeros((10, 10), np.float32)
    tenth[0, :5] = 1
    assert au_spro([tenth], [[Channel(mask, 5)]], limit=0.05) == pytest.approx(1)
    assert au_spro([tenth], [[Channel(mask, 50)]], limit=0.001) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("threshold", "relative", "area", "pixels"),
    [
        (1.0, True, 40, 40),
        (0.5, True, 41, 20),
        (0.0, True, 40, 1),
        (6300, False, 40, 40),
        (30, False, 40, 30),
        (0, False, 40, 1),
        (0.001, True, 40, 1),
    ],
)
def test_saturation_is_pixels_or_a_share_and_one_pixel_at_least(
    threshold: float, relative: bool, area: int, pixels: int
) -> None:
    saturation = Saturation(
        defect_name="any", pixel_value=255, saturation_threshold=threshold, relative_saturation=relative
    )
    assert saturation.pixels(area) == pixels


def test_without_regions_or_good_pixels_there_is_no_figure() -> None:
    field = np.zeros((2, 2), np.float32)
    everywhere = np.ones((2, 2), bool)
    assert aupro([field], [~everywhere]) is None
    assert aupro([field], [everywhere]) is None
    assert aupro([], []) is None
    assert au_spro([field], [[]]) is None
    assert au_spro([field], [[Channel(everywhere, 4)]]) is None


def test_bad_arguments_are_refused() -> None:
    field, mask = np.zeros((2, 2), np.float32), np.ones((2, 2), bool)
    with pytest.raises(ValueError, match=r"lies in \(0, 1\], got 0"):
        aupro([], [], limit=0)
    with pytest.raises(ValueError, match="map is"):
        aupro([field], [np.zeros((3, 3), bool)])
    with pytest.raises(ValueError, match="map is"):
        au_spro([field], [[Channel(np.ones((3, 3), bool), 1)]])
    with pytest.raises(ValueError, match="4 pixels cannot saturate at 5"):
        au_spro([field], [[Channel(mask, 5)]])
