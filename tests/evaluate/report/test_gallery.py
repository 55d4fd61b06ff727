"""Which pictures are shown, and how many of them a page can bear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import Evaluation, Inspector
from understudy import evaluate as evaluation
from understudy.data.records import Record
from understudy.errors import PictureError
from understudy.evaluate.report import gallery
from understudy.evaluate.report.gallery import GalleryPlan, choose, galleries, gallery_plan
from understudy.evaluate.report.page import write_report
from understudy.runtime.decision import Thresholds
from understudy.runtime.scoring import Scored, Scorer

Made = Callable[..., Evaluation]


def picture(score: float, kind: str = "good", name: str = "a.png") -> evaluation.Tested:
    return evaluation.Tested(Record("nut", "test", kind, Path(name)), score, None, None)


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60), st.integers(0, 9))
def test_the_most_wrong_pictures_are_chosen_and_none_twice(
    drawn: list[tuple[int, bool]], typical: int
) -> None:
    own = [picture(s, "good" if good else "chip", f"{i}.png") for i, (s, good) in enumerate(drawn)]
    chosen = choose(own, GalleryPlan(3, 4, typical, 100))
    together = [t.record.path for group in chosen.values() for t in group]
    assert len(together) == len(set(together)) <= 7 + typical
    good = sorted((t.score for t in own if t.record.is_good), reverse=True)
    bad = sorted(t.score for t in own if not t.record.is_good)
    assert [t.score for t in chosen["good"]] == good[:3]
    assert [t.score for t in chosen["missed"]] == bad[:4]
    left = len(own) - len(chosen["good"]) - len(chosen["missed"])
    assert len(chosen["typical"]) >= min(typical, left, max(1, len(bad) - 4))


def test_more_categories_never_mean_more_pictures_of_one() -> None:
    plans = [gallery_plan(n) for n in range(1, 120)]
    assert plans == sorted(plans, reverse=True)
    assert max(n * sum(plan[:3]) for n, plan in enumerate(plans, start=1) if n <= 100) <= 240


def score_quickly(
    self: Scorer, paths: Sequence[Path], batch_size: int = 8, *, categories: Sequence[str | None]
) -> Iterator[Scored | PictureError]:
    """A map without features for every picture, no matter which."""
    for path in paths:
        yield Scored(path, (64, 64), "digest", 1.0, np.zeros((64, 64), np.float32), np.ones(1, np.float32))


@pytest.mark.parametrize("weight", [10, 100_000])
def test_a_report_stays_small_with_many_categories_and_heavy_pictures(
    weight: int, inspector: Inspector, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scorer, "score", score_quickly)
    monkeypatch.setattr(gallery, "data_address", lambda _: "data:," + "A" * weight)
    scores = {
        f"{i:04} {'x' * 100}": {"good": list(range(5)), **{f"kind {k}": [i, 9.5] for k in range(3)}}
        for i in range(450)
    }
    write_report(tmp_path / "report.html", inspector, made(scores, unreadable=["x" * 1000] * 5000))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 15e6
    said = re.search(r"(\d+) of 4950 test pictures, from the (\d+) worst of 450 categories", page)
    assert said
    assert page.count('alt="heat map"') == int(said[1])
    assert (int(said[1]), int(said[2])) == ((200, 100) if weight == 10 else (47, 24))
    assert "The first 400 of 450 categories" in page
    assert "The first 400 of 5000 lines" in page


def test_a_picture_that_has_gone_since_is_left_out(inspector: Inspector, made: Made) -> None:
    tested = made({"nut": {"good": [1], "chip": [4]}}).tested
    gone = replace(tested[0], record=replace(tested[0].record, path=Path("gone.png")))
    unmarked = replace(tested[1], record=replace(tested[1].record, masks=(Path("gone.png"),)))
    shown = galleries(inspector, {"nut": [*tested, gone, unmarked], "bolt": [gone]})
    assert [(g.category, g.n) for g in shown] == [("nut", 2)]


def test_a_wrong_verdict_is_marked_as_such(inspector: Inspector, made: Made) -> None:
    thresholds = Thresholds(fail_above=3, review_above=2, false_alarm_rate=0.1, review_rate=0.5, n_good=9)
    tested = made({"nut": {"good": [1, 2.5, 4], "chip": [1, 2.5, 4]}}, thresholds).tested
    (shown,) = galleries(inspector, {"nut": tested})
    assert [c.wrong for c in shown.groups["good"]] == [True, False, False]
    assert [c.wrong for c in shown.groups["missed"]] == [True, False, False]
    assert all(c.marked is None for c in shown.groups["good"])
    assert all(c.marked for c in shown.groups["missed"])


def test_a_wrong_verdict_says_where_its_score_lies_among_the_good_pictures_and_a_right_one_does_not(
    inspector: Inspector, made: Made, tmp_path: Path
) -> None:
    assert inspector.calibration
    good = {"nut": tuple(i / 100 for i in range(400)), "linen": (9.0,)}
    inspector.calibration = inspector.calibration.model_copy(update={"scores": good})
    thresholds = Thresholds(fail_above=3, review_above=2, false_alarm_rate=0.1, review_rate=0.5, n_good=9)
    made_of = made({"nut": {"good": [1, 2.5, 3.955], "chip": [1, 2.5, 4]}}, thresholds)
    (shown,) = galleries(inspector, {"nut": made_of.tested})
    assert [c.standing for c in shown.groups["good"]] == ["higher than 99 % of 400 good pictures", "", ""]
    assert [c.standing for c in shown.groups["missed"]] == ["higher than 25 % of 400 good pictures", "", ""]
    write_report(tmp_path / "report.html", inspector, made_of)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("higher than 99 % of 400 good pictures") == 1


def test_a_calibration_that_keeps_no_scores_of_good_pictures_leaves_the_place_out(
    inspector: Inspector, made: Made
) -> None:
    assert inspector.calibration
    inspector.calibration = inspector.calibration.model_copy(update={"scores": {}})
    thresholds = Thresholds(fail_above=3, review_above=2, false_alarm_rate=0.1, review_rate=0.5, n_good=9)
    (shown,) = galleries(inspector, {"nut": made({"nut": {"good": [4]}}, thresholds).tested})
    assert [(c.wrong, c.standing) for c in shown.groups["good"]] == [(True, "")]
