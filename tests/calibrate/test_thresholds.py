"""Thresholds are promised or estimated at the asked rates; a person never gets more than the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from understudy import Calibration, InputError
from understudy.calibrate.conformal import conformal_threshold, promise, smallest_rate
from understudy.calibrate.estimate import ProductFigures
from understudy.calibrate.thresholds import (
    RATES_SHOWN,
    HeldOut,
    Rates,
    estimated,
    figures_by_category,
    promised,
)
from understudy.runtime.decision import Limits, decide, thresholds_for
from understudy.types import LEAST_RATE

NONE = np.zeros(0)


def held_out(**scores: int) -> list[HeldOut]:
    """So many pictures of each category, with scores 1, 2, ... times the place of the category."""
    return [
        HeldOut(name, float(place * i), i / 100, i / 10)
        for place, (name, n) in enumerate(scores.items(), start=1)
        for i in range(1, n + 1)
    ]


def drawn(seed: int, n: int, products: int = 3) -> list[HeldOut]:
    rng = np.random.default_rng(seed)
    return [
        HeldOut(f"product {i % products}", *(float(x) for x in rng.gamma(2, size=3).round(2)))
        for i in range(n)
    ]


def unseen(pictures: list[HeldOut]) -> dict[str, dict[str, ProductFigures]]:
    """The same figures, of a model whose own pictures are not there."""
    figures = {"score": lambda h: h.score, "level": lambda h: h.level, "distance": lambda h: h.distance}
    return {
        name: {
            c: ProductFigures(NONE, np.array(x), 0.0)
            for c, x in figures_by_category(pictures, figure).items()
        }
        for name, figure in figures.items()
    }


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1e-320, math.nan, math.inf, 1 - 1e-16])
def test_a_rate_that_is_out_of_range_is_refused(rate: float) -> None:
    for rates in ({"false_alarm": rate}, {"false_alarm": 0.01, "budget": rate}):
        with pytest.raises(InputError, match="a rate lies between 0 and 1, got "):
            Rates(**rates)


def test_rates_that_stop_every_good_picture_are_refused() -> None:
    with pytest.raises(InputError, match=r"false alarms \(0.6\) and the review budget \(0.4\) are all good"):
        Rates(0.6, 0.4)


@given(st.floats(LEAST_RATE, 0.5), st.floats(LEAST_RATE, 0.49))
def test_the_budget_is_all_that_a_person_looks_at(false_alarm: float, budget: float) -> None:
    rates = Rates(false_alarm, budget)
    assert rates.review - rates.false_alarm + rates.unknown == pytest.approx(budget)
    assert rates.unknown == pytest.approx(budget / 5)
    assert 0 < rates.unknown < 1
    assert rates.false_alarm < rates.review < 1


def budget_of(calibration: Calibration) -> float:
    """Share of good pictures that a person looks at, as the calibration says."""
    t = calibration.thresholds
    return t.review_rate - t.false_alarm_rate + calibration.distances.rate


@given(
    st.integers(0, 2**32 - 1),
    st.integers(4, 300),
    st.sampled_from([0.005, 0.01, 0.02, 0.05, 0.1, 0.2]),
    st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.4]),
)
def test_a_promise_never_asks_for_more_than_the_budget_where_the_pictures_allow_it(
    seed: int, n: int, false_alarm: float, budget: float
) -> None:
    rates, least = Rates(false_alarm, budget), smallest_rate(n)
    assume(false_alarm >= least)
    calibration = promised(drawn(seed, n), rates)
    if rates.unknown >= least:
        assert budget_of(calibration) <= budget + 1e-9
    else:  # as little as the pictures can promise
        assert budget_of(calibration) <= max(rates.budget - rates.unknown, least) + least + 1e-9
    for t in (calibration.thresholds, *calibration.categories.values()):
        assert t.review_above <= t.fail_above
        assert t.basis == "promised"


@given(
    st.integers(0, 2**32 - 1),
    st.integers(12, 120),
    st.sampled_from([0.001, 0.005, 0.01, 0.05, 0.2]),
    st.sampled_from([0.005, 0.05, 0.2]),
)
def test_an_estimate_never_asks_for_more_than_the_budget(
    seed: int, n: int, false_alarm: float, budget: float
) -> None:
    calibration = estimated(unseen(drawn(seed, n)), Rates(false_alarm, budget))
    assert budget_of(calibration) == pytest.approx(budget)
    for t in (calibration.thresholds, *calibration.categories.values()):
        assert t.review_above <= t.fail_above
        assert (t.basis, t.false_alarm_rate) == ("estimated", false_alarm)


def test_new_good_pictures_are_stopped_as_rarely_as_promised() -> None:
    rng, stopped, failed, rates = np.random.default_rng(0), 0, 0, Rates(0.05, 0.1)
    for _ in range(600):
        good = [HeldOut("nut", *map(float, rng.gamma(2, size=3))) for _ in range(99)]
        calibration, new = promised(good, rates), rng.gamma(2, size=3)
        verdict = decide(float(new[0]), calibration.thresholds)
        failed += verdict == "FAIL"
        stopped += verdict != "PASS" or new[1] > calibration.distances.of("nut")
    assert failed <= 30 + 4 * np.sqrt(30)
    assert stopped <= 90 + 4 * np.sqrt(90)


def test_an_estimate_from_few_pictures_of_many_products_is_about_right() -> None:
    """Seven pictures of each of twelve products: no single product could promise one in a hundred."""
    rng, failed, reviewed, total = np.random.default_rng(1), 0, 0, 0
    for _ in range(100):
        good = [
            HeldOut(f"product {p}", float(3 * p + (p + 1) * x), float(d), float(x))
            for p in range(12)
            for x, d in rng.gamma(4, size=(7, 2))
        ]
        calibration = estimated(unseen(good), Rates(0.01, 0.05))
        for p in range(12):
            scores = 3 * p + (p + 1) * rng.gamma(4, size=50)
            t = thresholds_for(calibration, f"product {p}")
            failed += int((scores > t.fail_above).sum())
            reviewed += int(((scores > t.review_above) & (scores <= t.fail_above)).sum())
            total += len(scores)
    assert failed / total == pytest.approx(0.01, rel=0.6)
    assert reviewed / total == pytest.approx(0.04, rel=0.4)


def test_a_category_with_three_times_the_pictures_of_its_promise_has_limits_of_its_own() -> None:
    calibration = promised(
        [*held_out(nut=27, bolt=26, pin=8), HeldOut(None, 500.0, 5.0, 50.0)], Rates(0.1, 0.5)
    )
    assert calibration.thresholds.n_good == 62
    assert calibration.thresholds.false_alarm_rate == 0.1
    fails = {c: (t.fail_above, t.n_good) for c, t in calibration.categories.items()}
    assert fails["nut"] == (26, 27)  # the 26th of 27: one in ten of 28 may lie above, rounded up
    assert thresholds_for(calibration, "bolt") == calibration.thresholds
    assert calibration.masks.categories == {"nut": 2.6}
    assert calibration.promise == promise(62, 0.1)


def test_a_picture_of_no_known_product_counts_for_all_and_for_none() -> None:
    good = [*held_out(nut=19), HeldOut(None, 500.0, 5.0, 50.0)]
    calibration = promised(good, Rates(0.05, 0.25))
    assert calibration.thresholds.fail_above == 500.0
    assert calibration.thresholds.n_good == 20
    assert calibration.distances.rate == pytest.approx(0.05)
    assert calibration.distances.overall == 5.0
    assert list(calibration.scores) == ["nut"]


def test_limits_at_the_rates_of_reports_are_those_that_the_pictures_allow() -> None:
    for n, shown in ((19, (0.05,)), (49, (0.02, 0.05)), (99, (0.01, 0.02, 0.05)), (199, RATES_SHOWN)):
        good = held_out(nut=n)
        calibration = promised(good, Rates(0.05, 0.5))
        assert tuple(limits.rate for limits in calibration.rates) == shown
        for limits in calibration.rates:
            assert limits.of("nut") == conformal_threshold([h.score for h in good], limits.rate)
    few = estimated(unseen(drawn(0, 30)), Rates(0.05))
    assert tuple(limits.rate for limits in few.rates) == RATES_SHOWN
    for c in few.scores:
        limits = [each.of(c) for each in few.rates]
        assert limits == sorted(limits, reverse=True)


def test_the_limit_of_the_asked_rate_is_that_of_the_report() -> None:
    for calibration in (
        promised(drawn(3, 250), Rates(0.02)),
        estimated(unseen(drawn(3, 50)), Rates(0.02)),
    ):
        (limits,) = (each for each in calibration.rates if each.rate == 0.02)
        assert calibration.thresholds.fail_above == limits.overall
        for c, t in calibration.categories.items():
            assert t.fail_above == limits.of(c)


def test_scores_are_kept_by_category_and_sorted() -> None:
    good = drawn(4, 40)
    for calibration in (promised(good, Rates(0.1)), estimated(unseen(good), Rates(0.1))):
        assert list(calibration.scores) == ["product 0", "product 1", "product 2"]
        assert all(list(x) == sorted(x) for x in calibration.scores.values())
    assert promised(good, Rates(0.1)).scores["product 0"] == tuple(
        sorted(h.score for h in good if h.category == "product 0")
    )


def test_only_an_estimate_has_an_interval_and_it_says_that_it_is_no_promise() -> None:
    assert promised(drawn(5, 50), Rates(0.05)).interval is None
    calibration = estimated(unseen(drawn(5, 50)), Rates(0.05))
    assert calibration.interval is not None
    low, high = calibration.interval
    assert 0 < low < 0.05 < high < 1
    assert "no promise" in calibration.promise
    assert "estimated from 50 of them" in calibration.promise


def test_pictures_that_the_training_has_not_seen_check_an_estimate_that_others_set() -> None:
    rng = np.random.default_rng(6)
    figures = {
        name: {
            c: ProductFigures(rng.normal(size=30), np.array([0.0, 0.1, 50.0]), 0.0) for c in ("nut", "bolt")
        }
        for name in ("score", "level", "distance")
    }
    calibration = estimated(figures, Rates(0.001))
    assert calibration.checked is not None
    failed, of = calibration.checked
    assert of == 6
    above = sum(thresholds_for(calibration, c).fail_above < 50.0 for c in ("nut", "bolt"))
    assert failed == above
    assert calibration.promise.endswith(f"; of 6 that the training never saw, {failed} FAIL")
    assert estimated(unseen(drawn(6, 30)), Rates(0.05)).checked is None  # they set the limits themselves


def test_the_limit_for_all_products_together_is_exceeded_by_as_many_of_all_good_pictures() -> None:
    calibration = estimated(unseen(drawn(8, 200)), Rates(0.05))
    scores = np.concatenate(list(calibration.scores.values()))
    assert 0 < (scores > calibration.thresholds.fail_above).mean() <= 0.05
    assert 0.05 < (scores > calibration.thresholds.review_above).mean() <= 0.09
    rare = estimated(unseen(drawn(8, 200)), Rates(0.001))
    assert rare.thresholds.fail_above >= scores.max() - 1e-3


def test_scores_that_are_no_number_set_no_thresholds() -> None:
    broken = HeldOut("nut", math.nan, 0.0, 0.0)
    with pytest.raises(InputError, match=r"a score that is not a number \(NaN\); check the model"):
        promised([*held_out(nut=19), broken], Rates(0.1))
    with pytest.raises(InputError, match=r"a score that is not a number \(NaN\); check the model"):
        estimated(unseen([*held_out(nut=19), broken]), Rates(0.1))


def test_the_review_band_lies_below_the_fail_threshold() -> None:
    t = promised(held_out(nut=99), Rates(0.01, 0.05)).thresholds
    assert (t.review_above, t.fail_above) == (95, 99)
    assert t.review_rate == pytest.approx(0.05)  # and one in a hundred looks like no known product


def test_few_pictures_and_a_high_rate_leave_no_rate_above_one() -> None:
    t = promised(held_out(nut=3), Rates(0.9, 0.05)).thresholds
    assert (t.review_above, t.fail_above) == (1, 1)
    assert 0.9 < t.review_rate < 1


def test_too_few_pictures_promise_and_estimate_nothing() -> None:
    with pytest.raises(InputError, match="needs at least 99 good pictures"):
        promised(held_out(nut=98), Rates(0.01))
    with pytest.raises(InputError, match="ten are the least"):
        estimated(unseen(held_out(nut=9)), Rates(0.01))


def test_the_rate_holds_in_every_category_where_one_threshold_for_all_misses_it() -> None:
    rng = np.random.default_rng(0)
    own = every = 0
    for _ in range(1000):
        good = [
            HeldOut(c, float(s), 0.0, 0.0)
            for c in ("low", "high")
            for s in rng.gamma(2, size=27) + 3 * (c == "high")
        ]
        calibration, new = promised(good, Rates(0.1)), float(rng.gamma(2)) + 3  # of the high category
        own += new > calibration.categories["high"].fail_above
        every += new > calibration.thresholds.fail_above
    assert own <= 100 + 4 * np.sqrt(90) < every


def test_a_calibration_is_read_as_it_was_written() -> None:
    for calibration in (
        promised(drawn(7, 60), Rates(0.05)),
        estimated(unseen(drawn(7, 60)), Rates(0.05)),
    ):
        assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


def test_a_calibration_of_older_models_promises_and_has_no_rates_to_compare() -> None:
    limits = Limits(rate=0.1, overall=1.0, categories={}).model_dump()
    band = {"fail_above": 2, "review_above": 1, "false_alarm_rate": 0.1, "review_rate": 0.5, "n_good": 9}
    old = Calibration.model_validate(
        {
            "thresholds": band,
            "categories": {},
            "masks": limits,
            "min_area": 16,
            "distances": limits,
            "promise": "at most 10 % of good pictures fail",
        }
    )
    assert old.thresholds.basis == "promised"
    assert (old.rates, old.scores, old.interval, old.checked) == ((), {}, None, None)


def test_a_product_whose_pictures_lie_close_together_does_not_lose_its_defects_as_unknown() -> None:
    rng = np.random.default_rng(5)
    close, wide = rng.normal(0.2, 0.02, 400), rng.normal(0.6, 0.1, 400)
    pictures = [HeldOut("close", float(rng.normal()), float(d), 1.0) for d in close]
    pictures += [HeldOut("wide", float(rng.normal()), float(d), 1.0) for d in wide]
    none = np.zeros(0)
    distances = {"close": ProductFigures(close, none, 0.0), "wide": ProductFigures(wide, none, 0.0)}
    figures = unseen(pictures) | {"distance": distances}
    for made in (promised(pictures, Rates(0.01)), estimated(figures, Rates(0.01))):
        assert made.distances.of("close") >= made.distances.overall > 0.5  # its own would be 0.25
        assert (wide > made.distances.of("wide")).mean() <= 0.02
