"""An explanation in words: what each row says, and that it says no more than is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.evaluate.explain import Explanation, NearestGood, ProductMatch
from understudy.evaluate.reasons import number_of, reasons_for
from understudy.runtime.decision import Thresholds, decide
from understudy.types import Region, Result

LIMITS = Thresholds(
    fail_above=3, review_above=2, false_alarm_rate=0.01, review_rate=0.05, n_good=40, basis="estimated"
)
NUT = ProductMatch("nut", "recognised", 0.25, 0.5, "nut")


def result(score: float, limits: Thresholds | None = LIMITS, **more: Any) -> Result:
    known: dict[str, Any] = {"verdict": decide(score, limits), "category": "nut"}
    return Result(Path("a.png"), score, np.zeros((4, 4), np.float32), (64, 64), **(known | more))


def explained(
    score: float, good: Sequence[float] = (), limits: Thresholds | None = LIMITS, **more: Any
) -> Explanation:
    known: dict[str, Any] = {"product": NUT, "no_nearest": "none"}
    if limits:
        known |= {"map_limit": 5.0, "min_area": 16}
    return Explanation(result(score, limits), thresholds=limits, good_scores=tuple(good), **(known | more))


def row(explanation: Explanation, label: str) -> str:
    return dict(reasons_for(explanation))[label]


@pytest.mark.parametrize(
    ("score", "verdict", "fail", "review"),
    [
        (4.5, "FAIL", "1.50 above it", "2.50 above it"),
        (2.5, "REVIEW", "0.50 below it", "0.50 above it"),
        (1.0, "PASS", "2.00 below it", "1.00 below it"),
    ],
)
def test_both_limits_are_named_with_the_side_and_the_distance(
    score: float, verdict: str, fail: str, review: str
) -> None:
    rows = reasons_for(explained(score))
    assert dict(rows)["verdict"].startswith(verdict)
    (limit_of_fail, limit_of_review) = (text for _, text in rows if text.startswith(("FAIL ab", "REVIEW ab")))
    assert limit_of_fail == f"FAIL above 3.00 (about 1 % of good pictures, estimated): the score is {fail}"
    assert limit_of_review.endswith(review)


def test_a_promise_and_an_estimate_are_told_apart() -> None:
    promised = LIMITS.model_copy(update={"basis": "promised"})
    assert "about 1 % of good pictures, estimated" in row(explained(1), "limits")
    assert "at most 1 % of good pictures, promised" in row(explained(1, limits=promised), "limits")


@pytest.mark.parametrize("basis", ["promised", "estimated"])
def test_limits_of_a_product_without_good_pictures_have_no_rate_and_say_so(basis: str) -> None:
    limits = LIMITS.model_copy(update={"basis": basis})
    why = "the last calibration had no good pictures of nut"
    rows = reasons_for(explained(4, limits=limits, no_good_pictures=True))
    (fail, review) = (text for _, text in rows if text.startswith(("FAIL ab", "REVIEW ab")))
    assert fail == f"FAIL above 3.00 ({why}): the score is 1.00 above it"
    assert review.startswith(f"REVIEW above 2.00 ({why})")
    assert dict(rows)["score"] == f"4.00; {why} to compare it with"
    assert not any(word in text for _, text in rows for word in ("promised", "estimated", "%"))


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 50))
def test_a_score_and_a_limit_that_differ_never_look_the_same(
    score: float, review: float, more: float
) -> None:
    limits = LIMITS.model_copy(update={"review_above": review, "fail_above": review + more})
    for limit in (limits.review_above, limits.fail_above):
        if abs(score - limit) > 1e-6:
            assert number_of(score, limits) != number_of(limit, limits, score)


def test_a_score_just_below_zero_has_no_sign() -> None:
    assert number_of(-0.0004, LIMITS) == "0.00"


def test_too_few_good_pictures_for_the_rate_are_said_to_be_too_few() -> None:
    few, enough = row(explained(9, range(20)), "score"), row(explained(900, range(100)), "score")
    assert few.endswith("higher than 9 of 20 good pictures of nut")
    assert row(explained(99, range(20)), "score").endswith(
        "higher than all 20 good pictures of nut; it takes 100 to see what is rare at 1 %"
    )
    assert enough.endswith("higher than all 100 good pictures of nut")


def test_an_unknown_product_is_a_review_and_its_score_means_nothing() -> None:
    unknown = Explanation(
        result(9, reason="unknown product", verdict="REVIEW", category=None),
        ProductMatch("nut", "unknown", 0.75, 0.5, None),
        map_limit=5.0,
        min_area=16,
        no_nearest="none",
    )
    rows = dict(reasons_for(unknown))
    assert rows["verdict"] == "REVIEW: it looks like no product that the model knows"
    assert rows["product"] == "unknown; nut is nearest: distance 0.750, limit 0.500"
    assert "means nothing" in rows["score"]
    assert "limits" not in rows


def test_what_was_said_is_doubted_only_where_the_picture_looks_like_something_else() -> None:
    said = replace(NUT, how="said")
    assert row(explained(1, product=said), "product") == "nut, as was said: distance 0.250, limit 0.500"
    other, none = (replace(said, looks_like=name) for name in ("linen", None))
    assert row(explained(1, product=other), "product").endswith("by its look it would be linen")
    assert row(explained(1, product=none), "product").endswith("by its look it would be an unknown product")


def test_regions_have_a_box_an_area_and_a_peak_against_the_limit_and_the_first_ten_are_told() -> None:
    regions = tuple(Region(8, 4, 20, 10, 60, 30 - i) for i in range(14))
    told = reasons_for(replace(explained(9), result=result(9, regions=regions)))
    assert dict(told)["region 1"] == "12 x 6 pixels from column 8, row 4; area 60; peak 30, limit 5"
    assert [label for label, _ in told if label.startswith("region")] == [f"region {i}" for i in range(1, 11)]
    assert ("", "and 4 more with lower peaks") in told
    assert "in no place are 16 pixels of the map above 5" in row(explained(9), "regions")


def test_a_region_beside_a_pass_is_said_not_to_decide() -> None:
    marked = replace(explained(1), result=result(1, regions=(Region(0, 0, 4, 4, 16, 9.0),)))
    assert "does not decide" in row(marked, "verdict")
    assert "does not decide" not in row(explained(1), "verdict")


def test_without_thresholds_verdict_and_regions_say_so_and_name_the_verb_that_sets_them() -> None:
    rows = dict(reasons_for(explained(1.5, limits=None)))
    assert "understudy calibrate" in rows["verdict"]
    assert "no thresholds" in rows["regions"]
    assert "limits" not in rows
    assert rows["score"] == "1.50"


def test_a_calibration_of_an_older_version_is_said_to_keep_no_scores() -> None:
    assert "keeps no scores" in row(explained(1), "score")


def test_a_score_that_is_no_number_is_said_to_be_none() -> None:
    nan = replace(explained(1, range(9)), result=result(float("nan"), reason="score is not a number (NaN)"))
    rows = reasons_for(nan)
    assert dict(rows)["verdict"].startswith("REVIEW: its score is no number")
    assert dict(rows)["score"] == "not a number"
    assert all("nan" not in text.lower() for _, text in rows)


def nearest(looked_at: int, of: int) -> str:
    good = NearestGood(replace(result(0.5), path=Path("good/7.png")), 0.125, looked_at, of)
    return row(explained(1, nearest=good, no_nearest=None), "nearest")


def test_the_nearest_good_picture_is_named_with_how_many_were_looked_at() -> None:
    named = "good/7.png; distance 0.125, score 0.50 "
    assert nearest(60, 60) == f"{named}(the nearest of 60 good pictures of nut)"
    assert nearest(200, 1204) == f"{named}(200 of 1204 good pictures of nut were looked at, spread evenly)"
    assert nearest(1, 1) == f"{named}(the only good picture of nut)"
    assert row(explained(1), "nearest") == "none"


def test_a_picture_that_cannot_be_read_has_its_error_alone() -> None:
    broken = Result(
        Path("a.png"), float("nan"), np.zeros((0, 0), np.float32), (0, 0), error="a.png is broken"
    )
    assert reasons_for(Explanation(broken)) == [("error", "a.png is broken")]
