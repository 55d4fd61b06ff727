"""Ranking against scikit-learn, with ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from understudy.metrics import Ranking

coarse_scores = st.integers(-2, 5).map(lambda v: v / 4)  # many ties


@given(st.lists(st.tuples(coarse_scores, st.booleans()), min_size=2, max_size=40))
def test_image_metrics_equal_scikit_learns_with_ties(pairs: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    ranking = Ranking(scores, labels)
    if labels.all() or not labels.any():
        assert ranking.auroc() is ranking.average_precision() is ranking.f1_max() is ranking.area(1) is None
        return
    assert ranking.auroc() == pytest.approx(roc_auc_score(labels, scores))
    assert ranking.area(1) == pytest.approx(ranking.auroc())
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores))
    precision, recall, _ = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert ranking.f1_max() == pytest.approx(f1.max())
    assert np.trapezoid(ranking.roc[1], ranking.roc[0]) == pytest.approx(ranking.auroc())


def test_the_curve_runs_from_corner_to_corner_and_only_up() -> None:
    fpr, tpr = Ranking(np.array([3.0, 2, 2, 1]), np.array([True, False, True, False])).roc
    assert fpr.tolist() == [0, 0, 0, 0, 0.5, 1]
    assert tpr.tolist() == [0, 0, 0.5, 0.5, 1, 1]


def test_scores_of_both_kinds_need_not_be_joined() -> None:
    rng = np.random.default_rng(0)
    good, defects = rng.normal(0, 1, 50), rng.normal(1, 1, 20)
    joined = Ranking(np.concatenate([good, defects]), np.repeat([False, True], [50, 20]))
    assert Ranking.of(good, defects).auroc() == joined.auroc()


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="3 scores for 2 labels"):
        Ranking(np.zeros(3), np.zeros(2, bool))
    with pytest.raises(ValueError, match="finite"):
        Ranking(np.array([0.0, np.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match=r"lies in \(0, 1\], got 0"):
        Ranking(np.array([0.0, 1]), np.array([True, False])).area(0)
