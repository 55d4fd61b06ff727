"""explain.html: its pictures, its bar, and that it stays one small file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import Inspector
from understudy.evaluate.explain import Explanation, explain
from understudy.evaluate.report import explanation
from understudy.evaluate.report.explanation import WIDE, score_bar, write_explanations
from understudy.runtime.decision import Thresholds
from understudy.types import Region, Result


def limits(review: float, fail: float) -> Thresholds:
    return Thresholds(fail_above=fail, review_above=review, false_alarm_rate=0.01, review_rate=0.05, n_good=9)


def scored(score: float, good: Sequence[float], thresholds: Thresholds | None) -> Explanation:
    found = Result(Path("a.png"), score, np.zeros((4, 4), np.float32), (64, 64))
    return Explanation(found, thresholds=thresholds, good_scores=tuple(sorted(good)))


def page(
    inspector: Inspector, explanations: Sequence[Explanation] | Iterator[Explanation], path: Path
) -> str:
    write_explanations(path, inspector, explanations)
    return path.read_text(encoding="utf-8")


finite = st.floats(-1e3, 1e3)


@given(finite, st.lists(finite, max_size=300), finite, st.floats(0, 100))
def test_a_bar_keeps_the_order_of_scores_and_limits_and_stays_within_its_width(
    score: float, good: list[float], review: float, more: float
) -> None:
    bar = score_bar(scored(score, good, limits(review, review + more)))
    assert bar
    assert len(bar.good) <= 100
    places = [bar.at, *bar.good, *(end for zone in bar.zones.values() for end in zone)]
    assert all(0 <= place <= WIDE for place in places)
    assert list(bar.good) == sorted(bar.good)
    assert (bar.at < bar.zones["FAIL"][0]) <= (score <= review + more)
    assert (bar.at > bar.zones["FAIL"][0]) <= (score > review + more)
    assert (bar.at > bar.zones["REVIEW"][0]) <= (score > review)


def test_a_score_far_beyond_everything_is_at_the_end_and_does_not_squeeze_the_rest() -> None:
    bar = score_bar(scored(1e6, [-1, 0, 1], limits(2, 3)))
    assert bar
    assert (bar.at, bar.beyond) == (WIDE, True)
    assert bar.zones["FAIL"][0] > WIDE / 2
    below = score_bar(scored(-1e6, [-1, 0, 1], limits(2, 3)))
    assert below
    assert (below.at, below.beyond) == (0, True)
    assert below.zones["REVIEW"][0] > WIDE / 4
    near = score_bar(scored(4, [-1, 0, 1], limits(2, 3)))
    assert near
    assert not near.beyond


def test_there_is_no_bar_without_anything_to_compare_with() -> None:
    assert score_bar(scored(1, [], None)) is None
    assert score_bar(scored(float("nan"), [1], limits(2, 3))) is None


def test_the_page_has_both_pictures_with_their_heat_maps_and_asks_no_server(
    inspector: Inspector, factory: Path, tmp_path: Path
) -> None:
    asked = [factory / "nut" / "test" / "chip" / "000.png", factory / "linen" / "test" / "good" / "000.png"]
    shown = page(
        inspector, explain(inspector, asked, data=factory, progress=False), tmp_path / "explain.html"
    )
    assert shown.count('src="data:image/jpeg') == shown.count("<img") == 8
    assert not re.search(r'(?:src|href)="(?!data:)', shown)
    assert shown.count("<article") == 2
    assert all(str(path) in shown for path in asked)
    alone = page(inspector, explain(inspector, asked[:1], progress=False), tmp_path / "alone.html")
    assert alone.count("<img") == 2


def test_a_region_is_drawn_around_its_own_pixels_and_the_inside_stays_as_it_was() -> None:
    picture = np.full((50, 100, 3), 90, np.uint8)
    drawn = explanation._with_regions(picture, (Region(100, 40, 180, 90, 100, 9.0),), (100, 200))
    changed = (drawn != picture).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 44, 50, 89)
    assert not changed[40:43, 70:88].any()
    assert (picture == 90).all()


def test_a_picture_that_has_gone_or_cannot_be_read_has_words_alone(
    inspector: Inspector, factory: Path, tmp_path: Path
) -> None:
    (one,) = explain(inspector, factory / "nut" / "test" / "chip" / "000.png", progress=False)
    gone = replace(one, result=replace(one.result, path=tmp_path / "gone.png"))
    broken = replace(one, result=replace(one.result, error="b.png is no picture"), product=None)
    shown = page(inspector, [gone, broken], tmp_path / "explain.html")
    assert "<img" not in shown
    assert "gone.png" in shown
    assert "b.png is no picture" in shown


def test_the_pictures_of_a_long_page_end_where_it_would_grow_too_large(
    inspector: Inspector, factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = explain(inspector, factory / "nut" / "test" / "chip" / "000.png", progress=False)
    monkeypatch.setattr(explanation, "data_address", lambda _: "data:," + "A" * 1_000_000)
    shown = page(inspector, [one] * 40, tmp_path / "explain.html")
    assert shown.count("<img") == 12
    assert shown.count("pictures are left out") == 34
    assert len(shown) < 15e6
