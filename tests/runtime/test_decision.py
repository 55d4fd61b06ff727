from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from understudy.runtime.decision import Calibration, Limits, Thresholds, decide, judge, thresholds_for

BAND = Thresholds(fail_above=2.0, review_above=1.0, false_alarm_rate=0.01, review_rate=0.05, n_good=99)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0.5, "PASS"),
        (1.0, "PASS"),
        (1.5, "REVIEW"),
        (2.0, "REVIEW"),
        (2.1, "FAIL"),
        (math.inf, "FAIL"),
        (math.nan, "REVIEW"),
    ],
)
def test_a_score_falls_into_its_band(score: float, verdict: str) -> None:
    assert decide(score, BAND) == verdict


def test_without_thresholds_there_is_no_verdict() -> None:
    assert decide(1.0, None) is None


def test_thresholds_in_the_wrong_order_or_not_finite_are_refused() -> None:
    with pytest.raises(ValidationError, match="must not exceed"):
        BAND.model_validate(BAND.model_dump() | {"review_above": 3.0})
    with pytest.raises(ValidationError):
        BAND.model_validate(BAND.model_dump() | {"fail_above": math.nan})


def calibrated(**categories: Thresholds) -> Calibration:
    limits = Limits(rate=0.1, overall=1.0, categories={"nut": 0.5})
    return Calibration(
        thresholds=BAND, categories=categories, masks=limits, min_area=1, distances=limits, promise=""
    )


def test_a_category_without_thresholds_of_its_own_gets_those_for_all() -> None:
    own = BAND.model_copy(update={"fail_above": 7.0})
    calibration = calibrated(nut=own)
    assert thresholds_for(calibration, "nut") == own
    assert thresholds_for(calibration, "bolt") == thresholds_for(calibration, None) == BAND


def test_a_category_without_a_limit_of_its_own_gets_that_for_all() -> None:
    limits = calibrated().distances
    assert [limits.of(c) for c in ("nut", "bolt", None)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("score", "category", "judged"),
    [
        (1.5, "nut", ("PASS", None)),
        (1.5, "bolt", ("REVIEW", None)),
        (9.0, "bolt", ("FAIL", None)),
        (0.0, None, ("REVIEW", "unknown product")),
        (9.0, None, ("REVIEW", "unknown product")),
        (math.nan, "bolt", ("REVIEW", "score is not a number (NaN)")),
    ],
)
def test_a_verdict_has_a_reason_where_the_score_is_none(
    score: float, category: str | None, judged: tuple[str, str | None]
) -> None:
    nuts = BAND.model_copy(update={"review_above": 1.5})
    assert judge(score, calibrated(nut=nuts), category) == judged
    assert judge(score, None, category) == (None, None)
