"""Defects found at asked rates of false alarms: what is counted, what an oracle finds, what chance allows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, binomtest

from understudy import evaluate as evaluation
from understudy.calibrate.conformal import true_rate
from understudy.calibrate.estimate import ProductFigures
from understudy.calibrate.thresholds import HeldOut, Rates, estimated, promised
from understudy.data.records import Record
from understudy.evaluate.rates import (
    false_alarm_chances,
    found_at,
    mean_interval,
    oracle_limit,
    share_interval,
)
from understudy.runtime.decision import Calibration, Limits, Thresholds
from understudy.types import Basis

RATES = (0.005, 0.01, 0.02, 0.05)
NUT_AND_BOLT = {"nut": "nut", "bolt": "bolt"}


def pictures_of(category: str, good: Iterable[float], bad: Iterable[float] = ()) -> list[evaluation.Tested]:
    return [
        evaluation.Tested(Record(category, "test", kind, Path(f"{i}.png")), score, None, None)
        for kind, scores in (("good", good), ("chip", bad))
        for i, score in enumerate(scores)
    ]


def calibration(
    own: Mapping[str, float],
    *,
    basis: Basis = "estimated",
    rates: Sequence[float] = RATES,
    overall: float | None = None,
    n_good: int = 400,
    shared: Sequence[str] = (),
) -> Calibration:
    """Every rate has the same limits, which is enough for what is counted at one of them."""
    limits = tuple(
        Limits(
            rate=rate,
            overall=max(own.values(), default=0.0) if overall is None else overall,
            categories=dict(own),
        )
        for rate in rates
    )
    thresholds = Thresholds(
        fail_above=3, review_above=2, false_alarm_rate=0.01, review_rate=0.05, n_good=n_good, basis=basis
    )
    return Calibration(
        thresholds=thresholds,
        categories={},
        masks=limits[0] if limits else Limits(rate=0.01, overall=3, categories={}),
        min_area=16,
        distances=Limits(rate=0.01, overall=1, categories={}),
        promise="",
        rates=limits,
        scores={c: (0.0,) * (n_good // (len(own) + len(shared))) for c in (*own, *shared)},
    )


def at(rate: str, found: dict[str, Any]) -> dict[str, Any]:
    return found["found_at"][rate]  # type: ignore[no-any-return]


def test_each_category_is_counted_by_its_own_limit_and_the_mean_weighs_categories_alike() -> None:
    pictures = [
        *pictures_of("nut", good=[1, 2, 3, 9], bad=[3, 3.5, 10, 11]),
        *pictures_of("bolt", good=[1, 6], bad=[6]),
    ]
    made = at("0.01", found_at(pictures, NUT_AND_BOLT, calibration({"nut": 3.0, "bolt": 7.0})))
    nut, bolt, whole = made["categories"]["nut"], made["categories"]["bolt"], made["all"]
    assert (nut["n_found"], nut["n_defect"], nut["found"]) == (3, 4, 0.75)  # 3 is not above 3
    assert (nut["n_false_alarms"], nut["n_good"], nut["false_alarms"]) == (1, 4, 0.25)
    assert (bolt["found"], bolt["false_alarms"]) == (0, 0)
    assert (whole["n_found"], whole["n_defect"], whole["found"]) == (3, 5, 0.6)
    assert (whole["n_false_alarms"], whole["n_good"]) == (1, 6)
    assert (made["mean"]["found"], made["mean"]["false_alarms"]) == (0.375, 0.125)
    assert made["worst"] == {"found": ["bolt", 0], "false_alarms": ["nut", 0.25]}
    assert made["basis"] == "estimated"


def test_the_oracle_is_set_by_the_good_test_pictures_of_each_category() -> None:
    pictures = [
        *pictures_of("nut", good=[1, 2, 3, 9], bad=[8, 10]),
        *pictures_of("bolt", good=[1, 6], bad=[6, 7]),
    ]
    made = at("0.05", found_at(pictures, NUT_AND_BOLT, calibration({"nut": 10.0, "bolt": 5.0})))
    nut, bolt = made["categories"]["nut"], made["categories"]["bolt"]
    assert (nut["oracle_found"], nut["oracle_false_alarms"], nut["of_oracle"]) == (0.5, 0, 0)
    assert (bolt["oracle_found"], bolt["oracle_false_alarms"]) == (0.5, 0)
    assert (bolt["found"], bolt["of_oracle"]) == (1, 2)  # it lets more false alarms through than asked
    assert (made["all"]["oracle_found"], made["all"]["found"], made["all"]["of_oracle"]) == (0.5, 0.5, 1)
    assert (made["mean"]["oracle_found"], made["mean"]["of_oracle"]) == (0.5, 1)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.sampled_from((*RATES, 0.1, 0.29, 0.3, 0.5)),
)
def test_the_oracles_limit_is_the_lowest_that_keeps_the_rate_also_with_ties(
    scores: list[int], rate: float
) -> None:
    good = np.sort(np.array(scores, dtype=np.float64))
    limit = oracle_limit(good, rate)
    assert limit is not None
    most = round(rate * len(good) * 1e6) // 10**6
    assert (good > limit).sum() <= most
    assert (good > limit - 1e-6).sum() > most


def test_the_figures_are_those_of_a_plain_loop_over_the_pictures() -> None:
    rng = np.random.default_rng(0)
    own = {f"c{i}": float(rng.normal(2, 0.5)) for i in range(5)}
    pictures = [t for c in own for t in pictures_of(c, rng.normal(0, 1, 150), rng.normal(2, 2, 40))]
    found = found_at(pictures, {c: c for c in own}, calibration(own))
    for rate in RATES:
        made = at(f"{rate:g}", found)
        for c, limit in own.items():
            good = [t.score for t in pictures if t.record.category == c and t.record.is_good]
            bad = [t.score for t in pictures if t.record.category == c and not t.record.is_good]
            row = made["categories"][c]
            assert row["found"] == sum(s > limit for s in bad) / 40
            assert row["false_alarms"] == sum(s > limit for s in good) / 150
            best = max(
                sum(s > t for s in bad) for t in good if sum(g > t for g in good) <= math.floor(rate * 150)
            )
            assert row["oracle_found"] == best / 40
        assert made["mean"]["found"] == pytest.approx(np.mean([made["categories"][c]["found"] for c in own]))


def test_an_estimated_rate_is_as_said_neither_far_below_nor_far_above() -> None:
    judged = {}
    for alarms in (0, 2, 10, 17, 18, 40):
        good = [0.0] * (1000 - alarms) + [9.0] * alarms
        row = at("0.01", found_at(pictures_of("nut", good), {"nut": "nut"}, calibration({"nut": 3.0})))
        judged[alarms] = row["all"]["as_said"], row["categories"]["nut"]["as_said"]
        ends = [float(binom.ppf(share, 1000, 0.01)) / 1000 for share in (0.025, 0.975)]
        assert row["all"]["allowed"] == ends
    assert judged == {a: (ok, ok) for a, ok in {0: 0, 2: 0, 10: 1, 17: 1, 18: 0, 40: 0}.items()}


def test_a_promised_rate_may_be_lower_and_is_as_wide_as_few_held_out_pictures_make_it() -> None:
    def allowed(n_set: int) -> tuple[float, float]:
        made = calibration({"nut": 3.0}, basis="promised", n_good=n_set)
        row = at("0.01", found_at(pictures_of("nut", [0.0] * 1000), {"nut": "nut"}, made))["all"]
        assert row["as_said"] is True
        return tuple(row["allowed"])

    for n_set in (99, 400, 10_000):
        assert allowed(n_set) == (0, betabinom.ppf(0.95, 1000, *true_rate(n_set, 0.01)) / 1000)
    assert allowed(99) > allowed(400) > allowed(10_000)


def test_pictures_like_those_that_set_a_promised_limit_are_as_said_in_95_of_100_tests() -> None:
    rng = np.random.default_rng(1)
    said = []
    for _ in range(600):
        held_out = [HeldOut("nut", score, 0.1, score) for score in rng.normal(0, 1, 199)]
        made = promised(held_out, Rates(0.01))
        row = at("0.01", found_at(pictures_of("nut", rng.normal(0, 1, 300)), {"nut": "nut"}, made))
        said.append(row["all"]["as_said"])
    assert np.mean(said) > 0.94
    shifted = at("0.01", found_at(pictures_of("nut", rng.normal(1.5, 1, 300)), {"nut": "nut"}, made))
    assert shifted["all"]["as_said"] is False


def test_with_own_and_shared_promised_limits_good_pictures_are_as_said_in_95_of_100_tests() -> None:
    """Chance is as wide as the pictures of those that share make it, not as narrow as all pictures would."""
    rng = np.random.default_rng(3)
    known, centre = {c: c for c in ("own", "nut", "bolt")}, {"own": -3, "nut": 0, "bolt": 0}
    wrong = []
    for _ in range(300):
        sizes = {"own": 450, "nut": 25, "bolt": 25}
        held_out = [
            HeldOut(c, x, 0.1, x) for c, n in sizes.items() for x in rng.normal(centre[c], 1, n).tolist()
        ]
        made = promised(held_out, Rates(0.02))
        pictures = [
            t
            for c, n in {"own": 50, "nut": 200, "bolt": 200}.items()
            for t in pictures_of(c, rng.normal(centre[c], 1, n))
        ]
        wrong.append(at("0.02", found_at(pictures, known, made))["all"]["as_said"] is False)
    assert [*made.rates[2].categories] == ["own"]
    assert 0.01 < np.mean(wrong) < 0.085


def test_what_chance_allows_under_a_shared_promised_limit_depends_on_those_that_share_it_alone() -> None:
    made = calibration({"own": 3.0}, basis="promised", overall=3.0, n_good=900, shared=("nut", "bolt"))
    pictures = [*pictures_of("nut", [0.0] * 200), *pictures_of("bolt", [0.0] * 200)]
    row = at("0.01", found_at(pictures, NUT_AND_BOLT, made))["all"]
    assert row["allowed"] == [0, betabinom.ppf(0.95, 400, *true_rate(600, 0.01)) / 400]
    row = at("0.01", found_at(pictures, NUT_AND_BOLT, made, one_for_all=True))["all"]
    assert row["allowed"] == [0, betabinom.ppf(0.95, 400, *true_rate(900, 0.01)) / 400]


def test_a_promise_that_categories_share_says_nothing_of_one_of_them() -> None:
    made = calibration({}, basis="promised", overall=3.0, shared=("nut", "bolt"))
    pictures = [*pictures_of("nut", [0, 9]), *pictures_of("bolt", [0] * 10)]
    found = at("0.01", found_at(pictures, NUT_AND_BOLT, made))
    nut = found["categories"]["nut"]
    assert (nut["as_said"], nut["allowed"], nut["false_alarms"]) == (None, None, 0.5)
    assert "for all categories that share the limit together" in nut["missing"]["as_said"]
    assert found["all"]["as_said"] is True
    assert "as_said" not in found["all"]["missing"]


def test_one_limit_for_all_is_used_where_it_is_asked_for_and_its_rate_is_that_of_all_together() -> None:
    pictures = [*pictures_of("nut", [4, 6], [4, 6]), *pictures_of("bolt", [4, 6], [4, 6])]
    own = calibration({"nut": 3.0, "bolt": 5.0})
    found = at("0.01", found_at(pictures, NUT_AND_BOLT, own, one_for_all=True))
    assert {row["found"] for row in found["categories"].values()} == {0.5}
    assert found["all"]["as_said"] is False  # two of four
    assert {row["as_said"] for row in found["categories"].values()} == {None}
    assert {row["missing"]["as_said"] for row in found["categories"].values()} == {
        "all pictures together set the limit for all, so its rate is not that of one category"
    }
    shared = calibration({"nut": 3.0, "bolt": 3.0}, basis="promised", overall=5.0)
    assert at("0.01", found_at(pictures, NUT_AND_BOLT, shared, one_for_all=True))["all"]["as_said"] is False


def test_good_pictures_are_as_said_by_the_estimated_limit_for_all_though_not_each_category_is() -> None:
    rng = np.random.default_rng(4)
    said, of_bolt = [], []
    for _ in range(30):
        draw = {
            c: ProductFigures(rng.normal(i, 1 + i, 1000), np.zeros(0), 0.0)
            for i, c in enumerate(NUT_AND_BOLT)
        }
        made = estimated(dict.fromkeys(("score", "level", "distance"), draw), Rates(0.01))
        pictures = [t for i, c in enumerate(NUT_AND_BOLT) for t in pictures_of(c, rng.normal(i, 1 + i, 150))]
        found = at("0.05", found_at(pictures, NUT_AND_BOLT, made, one_for_all=True))
        said.append(found["all"]["as_said"])
        of_bolt.append(found["categories"]["bolt"]["false_alarms"])
    assert np.mean(said) > 0.8
    assert np.mean(of_bolt) > 0.08


def test_a_category_that_the_model_does_not_know_has_the_limit_for_all_and_nothing_is_said_of_it() -> None:
    made = calibration({"nut": 3.0, "bolt": 5.0})
    found = at("0.01", found_at(pictures_of("pin", [4, 6], [4, 6]), {"pin": None}, made))
    row = found["categories"]["pin"]
    assert (row["found"], row["as_said"], found["all"]["as_said"]) == (0.5, None, None)
    assert row["missing"]["as_said"] == "no good picture of this category set the limits"


@pytest.mark.parametrize("basis", ["promised", "estimated"])
def test_nothing_is_said_of_a_category_that_kept_its_limit_from_an_earlier_calibration(basis: Basis) -> None:
    made = calibration({"nut": 3.0, "bolt": 5.0}, basis=basis)
    made = made.model_copy(update={"scores": {"nut": made.scores["nut"]}})
    pictures = [*pictures_of("nut", [0] * 9), *pictures_of("bolt", [4, 6], [4, 6])]
    found = at("0.01", found_at(pictures, NUT_AND_BOLT, made))
    bolt = found["categories"]["bolt"]
    assert (bolt["found"], bolt["as_said"], found["all"]["as_said"]) == (0.5, None, None)
    assert bolt["missing"]["as_said"] == "the last calibration had no good pictures of this category"
    assert found["categories"]["nut"]["as_said"] is True


def test_what_the_pictures_cannot_tell_is_missing_with_the_reason() -> None:
    categories = {**NUT_AND_BOLT, "pin": "pin"}
    pictures = [*pictures_of("nut", good=[1, 2]), *pictures_of("bolt", good=[], bad=[9])]
    found = at("0.01", found_at(pictures, categories, calibration(dict.fromkeys(categories, 3.0))))
    nut, bolt, pin = (found["categories"][c] for c in ("nut", "bolt", "pin"))
    assert (nut["found"], nut["found_interval"], nut["oracle_found"]) == (None, None, None)
    assert nut["missing"] == dict.fromkeys(
        ("found", "oracle_found", "of_oracle"), "no defective test pictures"
    )
    assert (bolt["false_alarms"], bolt["as_said"], bolt["oracle_found"]) == (None, None, None)
    assert bolt["missing"] == dict.fromkeys(
        ("false_alarms", "as_said", "oracle_found", "oracle_false_alarms", "of_oracle"),
        "no good test pictures",
    )
    assert pin["missing"].keys() >= {"found", "false_alarms"}
    assert found["all"]["missing"]["oracle_found"] == "a category has no good test pictures"
    assert (found["mean"]["found"], found["mean"]["of_oracle"]) == (1, None)
    assert found["worst"] == {"found": ["bolt", 1], "false_alarms": ["nut", 0]}
    rows = (nut, bolt, pin, found["all"])
    assert all((row[name] is None) == (name in row["missing"]) for row in rows for name in row["missing"])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (None, "the model is not calibrated"),
        (
            calibration({"nut": 3.0}, basis="promised", rates=(), n_good=8),
            "8 good pictures can promise 11 % at best",
        ),
        (
            calibration({}, basis="promised", rates=()),
            "of an older version, which kept no limits at other rates",
        ),
    ],
)
def test_a_model_without_limits_at_these_rates_has_no_figures_and_says_why(
    made: Calibration | None, reason: str
) -> None:
    found = found_at(pictures_of("nut", [1], [2]), {"nut": "nut"}, made)
    assert found["found_at"] is None
    assert found["found_at_missing"].keys() == {"0.005", "0.01", "0.02", "0.05"}
    assert all(reason in why for why in found["found_at_missing"].values())


def test_a_rate_that_the_good_pictures_cannot_promise_is_missing_and_the_others_are_there() -> None:
    made = calibration({"nut": 3.0}, basis="promised", rates=(0.01, 0.02, 0.05), n_good=120)
    found = found_at(pictures_of("nut", [1], [2]), {"nut": "nut"}, made)
    assert [rate for rate, entry in found["found_at"].items() if entry] == ["0.01", "0.02", "0.05"]
    assert found["found_at"]["0.005"] is None
    assert found["found_at_missing"] == {"0.005": "120 good pictures can promise 0.83 % at best"}


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (0, 30), (30, 30), (7, 30), (3, 1000)])
def test_the_interval_of_a_share_is_wilsons(count: int, of: int) -> None:
    theirs = binomtest(count, of).proportion_ci(method="wilson")
    assert share_interval(count, of) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    assert share_interval(0, 0) is None


def test_the_interval_of_a_mean_holds_the_true_mean_in_about_95_of_100_tests() -> None:
    rng = np.random.default_rng(2)
    true, n = np.array([0.5, 0.9, 1.0, 0.75]), np.array([20, 60, 30, 100])
    held = []
    for hits in rng.binomial(n, true, (2000, 4)):
        intervals = [share_interval(int(k), int(of)) for k, of in zip(hits, n, strict=True)]
        interval = mean_interval([*(hits / n)], [each for each in intervals if each])
        assert interval is not None
        held.append(interval[0] <= true.mean() <= interval[1])
    assert 0.93 <= np.mean(held) <= 0.985
    assert mean_interval([0.3], [(0.1, 0.6)]) == pytest.approx((0.1, 0.6))
    assert mean_interval([], []) is None


def test_the_chances_of_false_alarms_are_binomial_if_estimated_and_beta_binomial_if_promised() -> None:
    ours = false_alarm_chances([(99, 30), (5, 20)], 0.02, "estimated")
    np.testing.assert_allclose(ours, binom.pmf(np.arange(51), 50, 0.02), rtol=1e-9)
    ours = false_alarm_chances([(99, 30)], 0.02, "promised")
    np.testing.assert_allclose(ours, betabinom.pmf(np.arange(31), 30, *true_rate(99, 0.02)), rtol=1e-9)
    both = false_alarm_chances([(99, 30), (400, 20)], 0.02, "promised")
    assert (len(both), both.sum()) == (51, pytest.approx(1))


@pytest.mark.parametrize("basis", ["estimated", "promised"])
def test_twenty_thousand_pictures_take_well_under_a_second(basis: Basis) -> None:
    rng = np.random.default_rng(0)
    own = {f"c{i}": 3.0 for i in range(40)}
    pictures = [t for c in own for t in pictures_of(c, rng.normal(0, 1, 400), rng.normal(2, 1, 100))]
    made = calibration(own, basis=basis, n_good=40_000)
    begun = time.process_time()
    found = found_at(pictures, {c: c for c in own}, made)
    assert time.process_time() - begun < 0.7
    assert at("0.05", found)["all"]["n_defect"] == 4000
