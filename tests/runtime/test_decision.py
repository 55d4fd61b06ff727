from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from understudy.runtime.decision import Calibration, Thresholds, decide, thresholds_for

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


def test_a_category_without_thresholds_of_its_own_gets_those_for_all() -> None:
    own = BAND.model_copy(update={"fail_above": 7.0})
    calibration = Calibration(thresholds=BAND, categories={"nut": own}, promise="")
    assert thresholds_for(calibration, "nut") == own
    assert thresholds_for(calibration, "bolt") == thresholds_for(calibration, None) == BAND
