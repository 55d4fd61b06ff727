"""A picture is the nearest category that it is like, and unknown where it is like none."""

from __future__ import annotations

import numpy as np
import pytest

from understudy.calibrate.conformal import conformal_threshold
from understudy.runtime.decision import Limits, distances_to, recognise

LIMITS = Limits(rate=0.1, overall=1.0, categories={"nut": 0.5})


def test_distances_lie_between_zero_for_the_prototype_and_two_for_its_opposite() -> None:
    nut = np.array([0.6, 0.8], np.float32)
    found = distances_to(nut, {"nut": nut, "bolt": -nut, "pin": np.array([-0.8, 0.6], np.float32)})
    assert found == {"nut": 0, "bolt": 2, "pin": pytest.approx(np.sqrt(2))}


@pytest.mark.parametrize(
    ("distances", "category"),
    [
        ({"nut": 0.4, "bolt": 0.3}, "bolt"),
        ({"nut": 0.4, "bolt": 0.9}, "nut"),
        ({"nut": 0.6, "bolt": 0.9}, "bolt"),  # nearer to the nuts, and yet like none of them
        ({"nut": 0.5, "bolt": 1.1}, "nut"),
        ({"nut": 0.6, "bolt": 1.1}, None),
        ({"nut": float("nan"), "bolt": float("nan")}, None),
    ],
)
def test_it_is_the_nearest_of_those_that_it_is_within_the_limit_of(
    distances: dict[str, float], category: str | None
) -> None:
    assert recognise(distances, LIMITS) == category


def test_without_limits_it_is_the_nearest() -> None:
    assert recognise({"nut": 1.9, "bolt": 1.8}, None) == "bolt"


def test_good_pictures_of_every_category_are_unknown_at_the_promised_rate_at_most() -> None:
    rng = np.random.default_rng(0)
    unknown = 0
    for _ in range(2000):  # a narrow category beside a wide one, which overlap
        limits = Limits(
            rate=0.1,
            overall=9.0,
            categories={
                "narrow": conformal_threshold(rng.gamma(2, 0.5, size=19), 0.1),
                "wide": conformal_threshold(rng.gamma(2, 1.0, size=19), 0.1),
            },
        )
        to_own, to_other = rng.gamma(2, 1.0), rng.gamma(6, 1.0)  # of a picture of the wide one
        unknown += recognise({"wide": to_own, "narrow": to_other}, limits) is None
    assert unknown <= 200 + 4 * np.sqrt(180)
