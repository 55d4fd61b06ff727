"""A threshold keeps its promise over many draws, and the promise is said as it is."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import InputError
from understudy.calibrate.conformal import (
    _percent,
    conformal_threshold,
    good_pictures_needed,
    promise,
    rate_bound,
    smallest_rate,
    true_rate,
)


@pytest.mark.parametrize("decimals", [10, 1, 0])  # with ties as well
@pytest.mark.parametrize(("n", "rate"), [(99, 0.01), (40, 0.1), (19, 0.05)])
def test_the_promised_rate_holds_over_many_draws(n: int, rate: float, decimals: int) -> None:
    rng = np.random.default_rng(0)
    draws = np.round(rng.gamma(2.0, size=(4000, n + 1)), decimals)
    alarms = sum(row[-1] > conformal_threshold(row[:-1], rate) for row in draws)
    assert alarms <= 4000 * rate + 4 * np.sqrt(4000 * rate * (1 - rate))
    if decimals == 10:  # without ties it is not needlessly strict either
        assert alarms >= 4000 * rate - 4 * np.sqrt(4000 * rate * (1 - rate)) - 4000 / (n + 1)


def test_the_promised_rate_holds_for_scores_that_are_exchangeable_but_not_independent() -> None:
    rng = np.random.default_rng(1)
    shift, scale = rng.normal(size=(4000, 1)), rng.gamma(2.0, size=(4000, 1))  # another line every day
    draws = np.round(shift + scale * rng.normal(size=(4000, 40)), 1)
    alarms = sum(row[-1] > conformal_threshold(row[:-1], 0.1) for row in draws)
    assert alarms <= 400 + 4 * np.sqrt(400 * 0.9)


@pytest.mark.parametrize(("n", "rate"), [(250, 0.01), (60, 0.05), (9, 0.1)])
def test_the_true_rate_lies_below_its_bound_in_as_many_calibrations_as_said(n: int, rate: float) -> None:
    draws = np.random.default_rng(2).random((4000, n))  # the share above a uniform score is one minus it
    rates = np.array([1 - conformal_threshold(row, rate) for row in draws])
    below = (rates < rate_bound(n, rate)).mean()
    assert below == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))
    a, b = true_rate(n, rate)
    assert rates.mean() == pytest.approx(a / (a + b), rel=0.1)


def test_ties_only_make_the_true_rate_smaller() -> None:
    draws = np.round(np.random.default_rng(3).random((2000, 60)), 1)  # a true score is a tenth
    rates = np.array([(np.arange(11) / 10 > conformal_threshold(row, 0.05)).mean() for row in draws])
    assert (rates < rate_bound(60, 0.05)).mean() >= 0.95


def test_it_is_the_order_statistic_of_split_conformal_prediction() -> None:
    assert conformal_threshold(list(range(1, 100)), 0.01) == 99
    assert conformal_threshold(list(range(1, 100)), 0.05) == 95
    assert conformal_threshold([5.0], 0.5) == 5.0


def test_the_number_of_pictures_that_a_rate_needs() -> None:
    assert [good_pictures_needed(r) for r in (0.01, 0.05, 0.1, 0.3)] == [99, 19, 9, 3]
    assert smallest_rate(99) == pytest.approx(0.01)


def test_the_promise_is_said_in_words() -> None:
    assert promise(250, 0.01) == (
        "at most 1 % of good pictures fail, on average over calibrations; "
        "with 250 pictures, 95 % sure it is below 1.9 %"
    )
    assert promise(8, smallest_rate(8), "are no PASS").startswith(
        "at most 11.2 % of good pictures are no PASS,"
    )


@given(st.integers(1, 5000), st.floats(1e-4, 0.999))
def test_no_figure_of_a_promise_is_smaller_in_words_than_it_is(n: int, rate: float) -> None:
    first, second = (
        float(part.split(" %")[0]) / 100
        for part in promise(n, rate).replace("below ", "most ").split("most ")[1:]
    )
    assert rate - 1e-9 <= first <= rate * 1.01 + 1e-9
    assert rate_bound(n, rate) - 1e-9 <= second <= rate_bound(n, rate) * 1.1 + 1e-9


def test_too_few_pictures_name_the_rate_that_is_possible() -> None:
    with pytest.raises(
        InputError, match=r"0\.01 needs at least 99 good pictures .* got 49; .* ask for 0\.02"
    ):
        conformal_threshold([1.0] * 49, 0.01)
    conformal_threshold([1.0] * 49, 0.02)


def test_bad_rates_and_scores_are_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1, got 1"):
        conformal_threshold([1.0], 1)
    with pytest.raises(InputError, match="a score that is not a number"):
        conformal_threshold([float("nan")] * 9, 0.1)


def test_the_promise_that_the_docs_quote_is_the_one_made() -> None:
    page = (Path(__file__).parents[2] / "docs" / "from-score-to-decision.md").read_text(encoding="utf-8")
    flowing = " ".join(re.sub(r"(?<=\S)\n> ", " ", page).split())  # a quote of two lines is one
    assert f"> {promise(250, 0.01)} " in flowing
    assert promise(99, 0.01).endswith("below 3 %")
    assert promise(1000, 0.01).endswith("below 1.6 %")
    assert "with 99 it is 3 %, with 1,000 it is 1.6 %." in flowing


def test_a_share_is_said_in_percent_and_never_smaller_than_it_is() -> None:
    for share, said in (
        (0.01, "1 %"),
        (0.0101, "1.1 %"),
        (1 / 3, "34 %"),
        (0.005, "0.5 %"),
        (1 / 99, "1.1 %"),
    ):
        assert _percent(share, 2) == said
