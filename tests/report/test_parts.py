"""Drawings, counts and the choice of pictures, each alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import Model, evaluation
from understudy.data.records import Record
from understudy.errors import PictureError
from understudy.evaluate import Evaluation
from understudy.evaluate.report import gallery, write_report
from understudy.evaluate.report.charts import SIDE, chart, roc_path
from understudy.evaluate.report.gallery import Plan, choose, galleries, plan_for
from understudy.evaluate.report.charts import chance_of
from understudy.runtime.decision import Thresholds
from understudy.runtime.scoring import Scored

Made = Callable[..., Evaluation]


def picture(score: float, kind: str = "good", name: str = "a.png") -> evaluation.Tested:
    return evaluation.Tested(Record("nut", "test", kind, Path(name)), score, None, None)


def test_false_alarms_of_pictures_like_the_held_out_ones_are_as_frequent_as_said() -> None:
    """Draw calibrations of 19 pictures at 10 % and 12 test pictures each, from one distribution."""
    thresholds = Thresholds(fail_above=1, review_above=1, false_alarm_rate=0.1, review_rate=0.1, n_good=19)
    rng = np.random.default_rng(0)
    held_out, tested = rng.random((40_000, 19)), rng.random((40_000, 12))
    fail_above = np.sort(held_out, axis=1)[:, 17:18]  # the 18th smallest of 19
    alarms = (tested > fail_above).sum(axis=1)
    for count in (0, 1, 2, 4):
        assert chance_of(count, {thresholds: 12}) == pytest.approx((alarms >= count).mean(), abs=0.01)


def test_a_curve_of_few_pictures_has_every_corner() -> None:
    path = roc_path(np.array([0, 0, 0.5, 0.5, 1]), np.array([0, 0.5, 0.5, 1, 1]))
    assert path == "M0.0 100.0L0.0 50.0L50.0 50.0L50.0 0.0L100.0 0.0"


def test_a_curve_of_many_pictures_is_short_and_the_same() -> None:
    fpr = np.linspace(0, 1, 20_001)
    path = roc_path(fpr, np.sqrt(fpr))
    points = np.array([[float(n) for n in each.split()] for each in path[1:].split("L")])
    assert len(points) <= 200
    np.testing.assert_array_equal(points[[0, -1]], [[0, SIDE], [SIDE, 0]])
    np.testing.assert_allclose(points[:, 1], SIDE * (1 - np.sqrt(points[:, 0] / SIDE)), atol=3)


def test_a_threshold_beyond_all_scores_is_still_in_the_drawing() -> None:
    drawn = chart([picture(1), picture(2, "chip")], "nut", {"fail": 5.0}).histogram
    assert (drawn.low, drawn.high) == (1, 5)
    assert drawn.at(5) == pytest.approx(300)


def test_one_kind_of_pictures_has_no_curve() -> None:
    assert chart([picture(1), picture(1)], "nut", {"fail": 5.0}).curve is None


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60), st.integers(0, 9))
def test_the_most_wrong_pictures_are_chosen_and_none_twice(
    drawn: list[tuple[int, bool]], typical: int
) -> None:
    own = [picture(s, "good" if good else "chip", f"{i}.png") for i, (s, good) in enumerate(drawn)]
    chosen = choose(own, Plan(3, 4, typical, 100))
    together = [t.record.path for group in chosen.values() for t in group]
    assert len(together) == len(set(together)) <= 7 + typical
    good = sorted((t.score for t in own if t.record.is_good), reverse=True)
    bad = sorted(t.score for t in own if not t.record.is_good)
    assert [t.score for t in chosen["good"]] == good[:3]
    assert [t.score for t in chosen["missed"]] == bad[:4]
    left = len(own) - len(chosen["good"]) - len(chosen["missed"])
    assert len(chosen["typical"]) >= min(typical, left, max(1, len(bad) - 4))


def test_more_categories_never_mean_more_pictures_of_one() -> None:
    plans = [plan_for(n) for n in range(1, 120)]
    assert plans == sorted(plans, reverse=True)
    assert max(n * sum(plan[:3]) for n, plan in enumerate(plans, start=1) if n <= 100) <= 240


def score_quickly(
    self: Model, paths: Sequence[Path], batch_size: int = 8, *, categories: Sequence[str | None]
) -> Iterator[Scored | PictureError]:
    """A map without features for every picture, no matter which."""
    for path in paths:
        yield Scored(path, (64, 64), "digest", 1.0, np.zeros((64, 64), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize("weight", [10, 100_000])
def test_a_report_stays_small_with_many_categories_and_heavy_pictures(
    weight: int, model: Model, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Model, "score", score_quickly)
    monkeypatch.setattr(gallery, "data_address", lambda _: "data:," + "A" * weight)
    scores = {
        f"{i:04} {'x' * 100}": {"good": list(range(5)), **{f"kind {k}": [i, 9.5] for k in range(3)}}
        for i in range(450)
    }
    write_report(tmp_path / "report.html", model, made(scores, unreadable=["x" * 1000] * 5000))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 15e6
    said = re.search(r"(\d+) of 4950 test pictures, of the (\d+) worst of 450 categories", page)
    assert said
    assert page.count('alt="heat map"') == int(said[1])
    assert (int(said[1]), int(said[2])) == ((200, 100) if weight == 10 else (47, 24))
    assert "The first 400 of 450 categories" in page
    assert "The first 400 of 5000 lines" in page


def test_a_picture_that_has_gone_since_is_left_out(model: Model, made: Made) -> None:
    tested = made({"nut": {"good": [1], "chip": [4]}}).tested
    gone = replace(tested[0], record=replace(tested[0].record, path=Path("gone.png")))
    unmarked = replace(tested[1], record=replace(tested[1].record, masks=(Path("gone.png"),)))
    shown = galleries(model, {"nut": [*tested, gone, unmarked], "bolt": [gone]})
    assert [(g.category, g.n) for g in shown] == [("nut", 2)]


def test_a_wrong_verdict_is_marked_as_such(model: Model, made: Made) -> None:
    thresholds = Thresholds(fail_above=3, review_above=2, false_alarm_rate=0.1, review_rate=0.5, n_good=9)
    tested = made({"nut": {"good": [1, 2.5, 4], "chip": [1, 2.5, 4]}}, thresholds).tested
    (shown,) = galleries(model, {"nut": tested})
    assert [c.wrong for c in shown.groups["good"]] == [True, False, False]
    assert [c.wrong for c in shown.groups["missed"]] == [True, False, False]
    assert all(c.marked is None for c in shown.groups["good"])
    assert all(c.marked for c in shown.groups["missed"])


def test_false_alarms_of_two_thresholds_add_up() -> None:
    few = Thresholds(fail_above=1, review_above=1, false_alarm_rate=0.1, review_rate=0.1, n_good=19)
    many = few.model_copy(update={"n_good": 99, "false_alarm_rate": 0.05})
    rng = np.random.default_rng(1)
    alarms = sum(
        (rng.random((40_000, n)) > np.sort(rng.random((40_000, held)), axis=1)[:, place : place + 1]).sum(
            axis=1
        )
        for n, held, place in ((12, 19, 17), (30, 99, 94))
    )
    for count in (0, 1, 3, 6):
        assert chance_of(count, {few: 12, many: 30}) == pytest.approx((alarms >= count).mean(), abs=0.01)
