"""The shapes that travel: what a result says of itself, whether it could be judged or not."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from understudy.types import Region, Result

EMPTY = np.zeros((0, 0), np.float32)


def test_a_result_is_ok_unless_it_has_an_error() -> None:
    judged = Result(Path("a.png"), 1.5, np.ones((2, 3), np.float32), (20, 30), "FAIL")
    broken = Result(Path("b.png"), math.nan, EMPTY, (0, 0), error="b.png does not decode")
    assert judged.ok
    assert not broken.ok


def test_a_broken_result_has_every_field_of_a_judged_one() -> None:
    broken = Result(Path("b.png"), math.nan, EMPTY, (0, 0), error="b.png does not decode")
    assert (broken.verdict, broken.category, broken.reason, broken.regions) == (None, None, None, ())
    assert f"{broken.score:.3f}" == "nan"
    assert broken.anomaly_map.size == 0


def test_a_result_cannot_be_changed() -> None:
    judged = Result(Path("a.png"), 1.5, np.ones((2, 3), np.float32), (20, 30), "FAIL")
    with pytest.raises(FrozenInstanceError):
        judged.verdict = "PASS"  # type: ignore[misc]


def test_a_region_is_a_box_in_the_pictures_pixels() -> None:
    region = Region(left=2, top=3, right=7, bottom=9, area=20, peak=1.25)
    assert (region.right - region.left, region.bottom - region.top) == (5, 6)
    assert region.area <= 5 * 6
