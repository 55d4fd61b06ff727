"""Drawings, counts and the choice of pictures, each alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from understudy import evaluate as evaluation
from understudy.data.records import Record
from understudy.evaluate import Evaluation
from understudy.evaluate.report.charts import HEIGHT, SIDE, WIDTH, chance_of, chart, histogram, roc_path
from understudy.runtime.decision import Thresholds

Made = Callable[..., Evaluation]


def picture(score: float, kind: str = "good", name: str = "a.png") -> evaluation.Tested:
    return evaluation.Tested(Record("nut", "test", kind, Path(name)), score, None, None)


def test_false_alarms_of_pictures_like_the_held_out_ones_are_as_frequent_as_said() -> None:
    """Draw calibrations of 19 pictures at 10 % and 12 test pictures each, from one distribution."""
    thresholds = Thresholds(fail_above=1, review_above=1, false_alarm_rate=0.1, review_rate=0.1, n_good=19)
    rng = np.random.default_rng(0)
    held_out, tested = rng.random((40_000, 19)), rng.random((40_000, 12))
    fail_above = np.sort(held_out, axis=1)[:, 17:18]  # the 18th smallest of 19
    alarms = (tested > fail_above).sum(axis=1)
    for count in (0, 1, 2, 4):
        assert chance_of(count, {thresholds: 12}) == pytest.approx((alarms >= count).mean(), abs=0.01)


def test_false_alarms_at_an_estimated_rate_are_as_frequent_as_that_rate_makes_them() -> None:
    thresholds = Thresholds(
        fail_above=1, review_above=1, false_alarm_rate=0.1, review_rate=0.1, n_good=19, basis="estimated"
    )
    alarms = np.random.default_rng(0).binomial(12, 0.1, 100_000)
    for count in (0, 1, 2, 4):
        assert chance_of(count, {thresholds: 12}) == pytest.approx((alarms >= count).mean(), abs=0.01)


def test_a_curve_of_few_pictures_has_every_corner() -> None:
    path = roc_path(np.array([0, 0, 0.5, 0.5, 1]), np.array([0, 0.5, 0.5, 1, 1]))
    assert path == "M0.0 100.0L0.0 50.0L50.0 50.0L50.0 0.0L100.0 0.0"


def test_a_curve_of_many_pictures_is_short_and_the_same() -> None:
    fpr = np.linspace(0, 1, 20_001)
    path = roc_path(fpr, np.sqrt(fpr))
    points = np.array([[float(n) for n in each.split()] for each in path[1:].split("L")])
    assert len(points) <= 200
    np.testing.assert_array_equal(points[[0, -1]], [[0, SIDE], [SIDE, 0]])
    np.testing.assert_allclose(points[:, 1], SIDE * (1 - np.sqrt(points[:, 0] / SIDE)), atol=3)


def test_a_threshold_beyond_all_scores_is_still_in_the_drawing() -> None:
    drawn = chart([picture(1), picture(2, "chip")], "nut", {"fail": 5.0}).histogram
    assert (drawn.low, drawn.high) == (1, 5)
    assert drawn.at(5) == pytest.approx(300)


def test_one_kind_of_pictures_has_no_curve() -> None:
    assert chart([picture(1), picture(1)], "nut", {"fail": 5.0}).curve is None


def test_false_alarms_of_two_thresholds_add_up() -> None:
    few = Thresholds(fail_above=1, review_above=1, false_alarm_rate=0.1, review_rate=0.1, n_good=19)
    many = few.model_copy(update={"n_good": 99, "false_alarm_rate": 0.05})
    rng = np.random.default_rng(1)
    alarms = sum(
        (rng.random((40_000, n)) > np.sort(rng.random((40_000, held)), axis=1)[:, place : place + 1]).sum(
            axis=1
        )
        for n, held, place in ((12, 19, 17), (30, 99, 94))
    )
    for count in (0, 1, 3, 6):
        assert chance_of(count, {few: 12, many: 30}) == pytest.approx((alarms >= count).mean(), abs=0.01)


def test_a_histogram_shares_one_axis_and_leaves_out_what_is_not_there() -> None:
    found = histogram({"x": np.array([0.0, 1.0]), "y": np.array([[2.0]]), "z": None, "w": np.zeros(0)}, "of")
    assert list(found.paths) == ["x", "y"]
    assert (found.low, found.high) == (0, 2)
    ends = [float(step.split("H")[1].split("V")[0]) for step in found.paths["x"].rstrip("Z").split("V")[1:-1]]
    assert ends[-1] == WIDTH
    assert all(a < b for a, b in pairwise(ends))
    assert f"V{0.0}" in found.paths["y"]  # all of y in one bin: the top
    assert f"V{HEIGHT / 2}" in found.paths["x"]
    assert histogram({"x": np.ones(3)}, "flat").paths["x"].startswith("M0")
