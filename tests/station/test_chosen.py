"""Thresholds that a person chooses: they change the verdicts and nothing else, and lose the promise."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from understudy.errors import InputError
from understudy.runtime.decision import Calibration, Limits, Thresholds, judge
from understudy.station.chosen import Chosen, changed, in_force, require_product, what_if


def calibration_of() -> Calibration:
    whole = Thresholds(fail_above=10, review_above=8, false_alarm_rate=0.01, review_rate=0.05, n_good=100)
    return Calibration(
        thresholds=whole,
        categories={"nut": whole.model_copy(update={"fail_above": 6.0, "review_above": 5.0})},
        masks=Limits(rate=0.01, overall=1, categories={}),
        min_area=3,
        distances=Limits(rate=0.01, overall=1, categories={}),
        promise="at most 1 %",
        scores={"nut": tuple(range(10)), "bolt": tuple(range(10, 20))},
    )


def test_chosen_thresholds_hold_for_their_product_alone() -> None:
    before = calibration_of()
    after = changed(before, [Chosen(product="nut", review_above=2, fail_above=4)])
    assert judge(4.5, before, "nut").verdict == "PASS"
    assert judge(4.5, after, "nut").verdict == "FAIL"
    assert judge(9, after, "bolt").verdict == judge(9, before, "bolt").verdict == "REVIEW"
    assert (after.masks, after.distances) == (before.masks, before.distances)


def test_chosen_thresholds_are_estimates_from_the_good_scores() -> None:
    own = changed(calibration_of(), [Chosen(product="nut", review_above=4, fail_above=7)]).categories["nut"]
    assert own.basis == "estimated"
    assert own.false_alarm_rate == pytest.approx((2 + 1) / (10 + 2))
    assert own.review_rate == pytest.approx((5 + 1) / (10 + 2))
    assert own.n_good == 10


def test_thresholds_of_all_leave_a_product_its_own() -> None:
    after = changed(calibration_of(), [Chosen(review_above=1, fail_above=2)])
    shown = {each["product"]: each for each in in_force(after, ["nut", "bolt"])}
    assert (shown["nut"]["fail_above"], shown["nut"]["own"]) == (6, True)
    assert (shown["bolt"]["fail_above"], shown["bolt"]["own"]) == (2, False)


def test_what_if_counts_both_sides_of_the_history() -> None:
    rows = [
        (1.0, "PASS", None, "nut", "good"),
        (4.5, "PASS", None, "nut", "defective"),
        (5.5, "REVIEW", None, "nut", "good"),
        (9.0, "FAIL", None, "nut", "defective"),
        (9.5, "FAIL", None, "nut", None),
        (99.0, "REVIEW", "unknown product", None, None),
        (None, "REVIEW", "score is not a number (NaN)", "nut", None),
    ]
    found = what_if(calibration_of(), Chosen(product="nut", review_above=4, fail_above=5), rows)
    assert found["n"] == 5
    assert found["now"] == {"PASS": 2, "REVIEW": 1, "FAIL": 2}
    assert found["then"] == {"PASS": 1, "REVIEW": 1, "FAIL": 3}
    assert found["reviewed"] == {
        "defective_found_now": 1,
        "defective_found_then": 2,
        "good_failed_now": 0,
        "good_failed_then": 1,
        "defective": 2,
        "good": 2,
    }


@pytest.mark.parametrize(("review", "fail"), [(5, 4), (float("nan"), 4), (1, float("inf"))])
def test_thresholds_that_make_no_sense_are_refused(review: float, fail: float) -> None:
    with pytest.raises(ValidationError):
        Chosen(review_above=review, fail_above=fail)


def test_thresholds_need_a_calibrated_model_that_knows_the_product() -> None:
    chosen = Chosen(product="screw", review_above=1, fail_above=2)
    with pytest.raises(InputError, match="not calibrated"):
        require_product(None, ["nut"], chosen)
    with pytest.raises(InputError, match="'screw'"):
        require_product(calibration_of(), ["nut"], chosen)
