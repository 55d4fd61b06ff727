"""The interval of an AUROC: its known properties, and how often it holds the truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.metrics import Ranking, auroc_interval


@given(st.floats(0, 1), st.integers(1, 200), st.integers(1, 200))
def test_it_lies_in_the_unit_interval_around_the_measured_value(value: float, good: int, bad: int) -> None:
    low, high = auroc_interval(value, good, bad)
    assert 0 <= low <= value <= high <= 1
    mirrored = auroc_interval(1 - value, bad, good)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_a_perfect_order_of_few_pictures_is_not_certainty() -> None:
    few, many = auroc_interval(1, 5, 5), auroc_interval(1, 500, 500)
    assert few[0] < 0.75
    assert few[0] < many[0] < 1
    assert few[1] == many[1] == 1


def test_both_ends_solve_the_methods_equation() -> None:
    """Written out anew, from Hanley and McNeil's variance with the mean sample size in its numerator."""
    value, good, bad = 0.9, 30, 12
    z = NormalDist().inv_cdf(0.975)
    extra = (good + bad) / 2 - 1
    for end in auroc_interval(value, good, bad):
        q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
        variance = (end * (1 - end) + extra * (q1 - end**2) + extra * (q2 - end**2)) / (good * bad)
        assert abs(value - end) == pytest.approx(z * np.sqrt(variance), rel=1e-6)


@pytest.mark.parametrize("gap", [0.5, 1.5, 2.5])
def test_it_holds_the_truth_about_as_often_as_promised(gap: float) -> None:
    rng = np.random.default_rng(0)
    truth = NormalDist().cdf(gap / np.sqrt(2))
    held = 0
    for _ in range(400):
        measured = Ranking.of(rng.normal(0, 1, 25), rng.normal(gap, 1, 15)).auroc()
        assert measured is not None
        low, high = auroc_interval(measured, 25, 15)
        held += low <= truth <= high
    assert held / 400 > 0.92


def test_impossible_numbers_are_refused() -> None:
    for arguments in ((1.1, 5, 5), (0.5, 0, 5), (0.5, 5, 0)):
        with pytest.raises(ValueError, match="no interval"):
            auroc_interval(*arguments)
    with pytest.raises(ValueError, match="no interval"):
        auroc_interval(0.5, 5, 5, confidence=1)
