"""Metrics against scikit-learn and against literal loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from understudy.metrics import Ranking, aupro

coarse_scores = st.integers(0, 5).map(lambda v: v / 4)  # many ties


@given(st.lists(st.tuples(coarse_scores, st.booleans()), min_size=2, max_size=40))
def test_image_metrics_equal_scikit_learns_with_ties(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    ranking = Ranking(scores, labels)
    if labels.all() or not labels.any():
        assert ranking.auroc() is ranking.average_precision() is ranking.f1_max() is None
        return
    assert ranking.auroc() == pytest.approx(roc_auc_score(labels, scores))
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores))
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert ranking.f1_max() == pytest.approx(f1.max())


def literal_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float | None:
    """Every threshold, every region, one at a time; regions by flood fill over eight neighbours."""
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
    good = int((~masks).sum())
    if not regions or not good:
        return None
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = maps >= threshold
        pro = np.mean([np.mean([above[p] for p in region]) for region in regions])
        curve.append(((above & ~masks).sum() / good, float(pro)))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(curve):
        if x0 >= limit:
            break
        if x1 > limit:
            y1, x1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0), limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@given(
    hnp.arrays(np.float32, (2, 4, 5), elements=coarse_scores),
    hnp.arrays(bool, (2, 4, 5)),
    st.sampled_from([0.05, 0.3, 1.0]),
)
def test_aupro_equals_literal_loops(maps: np.ndarray, masks: np.ndarray, limit: float) -> None:
    expected, found = literal_aupro(maps, masks, limit), aupro(list(maps), list(masks), limit)
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


def test_without_regions_or_good_pixels_there_is_no_figure() -> None:
    field = np.zeros((2, 2), np.float32)
    assert aupro([field], [np.zeros((2, 2), bool)]) is None
    assert aupro([field], [np.ones((2, 2), bool)]) is None
    assert aupro([], []) is None


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"lies in \(0, 1\], got 0"):
        aupro([], [], limit=0)
    with pytest.raises(ValueError, match="map is"):
        aupro([np.zeros((2, 2))], [np.zeros((3, 3), bool)])
    with pytest.raises(ValueError, match="3 scores for 2 labels"):
        Ranking(np.zeros(3), np.zeros(2, bool))
    with pytest.raises(ValueError, match="finite"):
        Ranking(np.array([0.0, np.nan]), np.array([True, False]))
