"""What the report says, and in which order."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from understudy import Evaluation, Inspector
from understudy.calibrate.conformal import promise
from understudy.evaluate import evaluate
from understudy.evaluate.report.page import write_report
from understudy.runtime.decision import Thresholds

Written = Callable[..., str]

THRESHOLDS = Thresholds(fail_above=3, review_above=2, false_alarm_rate=0.1, review_rate=0.5, n_good=9)
BOTH = {"nut": {"good": [1, 3.5], "chip": [1.5, 2.5], "rust": [4]}}
GOOD_ALONE = {"nut": {"good": [1, 2.5, 3.5]}}


class Parsed(HTMLParser):
    """Everything in a page that may lead out of it, its tags, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.hints: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for n, v in attrs if n in ("src", "href", "srcset", "action", "data")]
        self.hints += [v for n, v in attrs if n in ("title", "alt", "aria-label") and v]

    def handle_data(self, data: str) -> None:
        self.text += data


def lead(page: str) -> str:
    found = re.search(r'<p class="lead">(.*?)</p>', page)
    assert found
    return found[1].strip()


def test_the_verdict_counts_defects_and_false_alarms(written: Written) -> None:
    assert lead(written(BOTH, THRESHOLDS)) == (
        "Of 3 defective test pictures <b>1 fails</b>, 1 goes to review and <b>1 passes unnoticed</b>; "
        "of 2 good ones <b>1 fails</b> by mistake and 0 go to review."
    )


def test_without_thresholds_the_verdict_is_about_scores_and_says_how_to_calibrate(written: Written) -> None:
    scores = {"nut": BOTH["nut"], "bolt": {"good": [1], "bent": [2]}}
    said = lead(written(scores))
    assert "scores but no verdicts" in said
    assert "<b>83.3&nbsp;%</b>" in said  # of 4 / 6 and 1
    assert "66.7&nbsp;% in the worst category, nut" in said
    assert "understudy calibrate MODEL FOLDER --false-alarm-rate 0.01" in said
    assert "99 or more good pictures" in said


def test_without_defects_the_verdict_is_about_false_alarms_alone(written: Written) -> None:
    said = lead(written(GOOD_ALONE, THRESHOLDS))
    assert "missed defects cannot be measured" in said
    assert "of 3 good ones <b>1 fails</b> by mistake and 1 goes to review" in said
    assert "3 good pictures have scores but no verdicts, and nothing shows how well" in lead(
        written(GOOD_ALONE)
    )


def test_without_good_pictures_no_false_alarm_is_claimed(written: Written) -> None:
    page = written({"nut": {"chip": [1, 4]}}, THRESHOLDS)
    assert "there are no good test pictures, so false alarms cannot be measured" in lead(page)
    assert "the thresholds promise" not in page.lower()


@pytest.mark.parametrize(
    ("good", "said"),
    [
        ([1.0] * 19 + [4.0], "These pictures keep the promise."),
        ([1.0] * 8 + [4.0] * 2, "chance explains it: as many or more occur in 26 of 100 such tests."),
        ([1.0] * 8 + [4.0] * 12, "more than chance explains: these pictures differ from the 9"),
    ],
)
def test_false_alarms_are_held_against_the_promise(good: list[float], said: str, written: Written) -> None:
    assert said in written({"nut": {"good": good, "chip": [5.0]}}, THRESHOLDS)


def test_the_worst_category_comes_first_and_one_without_figure_last(written: Written) -> None:
    scores = {
        "apt": {"good": [1], "chip": [4]},
        "bad": {"good": [4], "chip": [1]},
        "nil": {"good": [1, 2]},
        "so-so": {"good": [1, 3], "chip": [2]},
    }
    page = written(scores, THRESHOLDS)
    table = page[page.index('id="figures"') :]
    assert re.findall(r"<tr><td>([\w-]+)</td>", table)[:5] == ["bad", "so-so", "apt", "nil", "mean"]
    pictures = page[page.index('id="pictures"') :]
    assert re.findall(r"<h3>([\w-]+)</h3>", pictures)[:4] == ["bad", "so-so", "apt", "nil"]


def test_a_missing_figure_has_its_reason_at_hand_and_in_print(written: Written) -> None:
    page = written(GOOD_ALONE, THRESHOLDS)
    assert '<td title="no defective test pictures">–<sup>1</sup></td>' in page
    assert "<li>no defective test pictures</li>" in page
    assert "reasons" not in re.sub(r"<style>.*</style>", "", written(BOTH, THRESHOLDS))


def test_the_interval_stands_beside_the_auroc(written: Written) -> None:
    assert ">66.7</td><td>33.3–83.3</td>" in written(BOTH)


def test_thresholds_are_drawn_where_they_lie_among_the_scores(written: Written) -> None:
    page = written(BOTH, THRESHOLDS)  # scores from 1 to 4 on 300 units
    assert '<line class="fail" x1="200.0" x2="200.0"' in page
    assert '<line class="review" x1="100.0" x2="100.0"' in page
    assert '<circle class="fail" cx="50.0" cy="66.7"' in page  # 1 of 2 good ones, 1 of 3 defects
    bare = written(BOTH)
    assert 'class="fail"' not in bare
    assert 'class="review"' not in bare


def test_kinds_of_defect_are_told_apart_the_least_recognised_first(written: Written) -> None:
    page = written({"nut": {"good": [1], "chip": [4, 4.5], "deep_rust": [1.5, 2.5]}}, THRESHOLDS)
    table = page[page.index('id="kinds"') :]
    rows = re.findall(r'<td class="name">([^<]+)</td><td>([^<]+)</td><td>([^<]+)</td>', table)
    assert rows == [("deep rust", "0.0", "50.0"), ("chip", "100.0", "100.0")]


def test_spro_is_shown_where_it_was_measured(written: Written) -> None:
    figures = {"0.05": {"logical": 0.25, "mean": None}, "1": {"logical": 0.75, "mean": None}}
    assert "sPRO" not in written(BOTH)
    page = written(BOTH, spro=figures)
    assert "<th>0.05</th><th>1</th>" in page
    assert '<td>nut</td><td class="name">logical</td><td>25.0</td><td>75.0</td>' in page
    assert '<td>mean</td><td class="name">mean</td><td>–</td><td>–</td>' in page


def test_pictures_left_out_model_and_command_are_named(written: Written, inspector: Inspector) -> None:
    page = written(BOTH, command="understudy evaluate m 'line 3'", unreadable=["a.png is no picture"])
    text = Parsed(page).text
    assert "a.png is no picture" in text
    assert "understudy evaluate m 'line 3'" in text
    assert f"SHA-256 {inspector.manifest.teacher.sha256}" in text
    assert f"SHA-256 {inspector.manifest.files['student.safetensors']}" in text
    assert "6 steps of 4 pictures" in text
    assert "/data/line 3 (MVTec AD layout)" in text


def test_settings_that_differ_from_the_papers_are_named(written: Written) -> None:
    text = Parsed(written(BOTH)).text
    assert "tuned. Settings that differ from the paper's recipe: codebook=300 (paper: 0)" in text
    assert "cosine=hard (paper: local)" in text
    assert "anneal_structural_terms=true (paper: false)" in text
    assert "SNL's spatial and affinity terms are annealed" in text
    assert "The affinity map has the weight 0.5 in the anomaly map; the paper has 1.0." in text


def test_names_of_any_kind_are_text_and_nothing_else(written: Written) -> None:
    name, kind, command = "<b>100 % „Größe“</b> \"'&amp;", "<script>alert('x')</script>", 'x --out "<i>"'
    plain = Parsed(written({"nut": {"good": [1], "chip": [4]}}, THRESHOLDS))
    page = written({name: {"good": [1], kind: [4]}}, THRESHOLDS, command, unreadable=["<img src=x>"])
    parsed = Parsed(page)
    assert "script" not in parsed.tags
    assert parsed.tags.count("b") == plain.tags.count("b")
    assert parsed.tags.count("img") == plain.tags.count("img")
    assert all(each in parsed.text for each in (name, kind, command, "<img src=x>"))
    assert f"Histogram of scores, {name}" in parsed.hints


def test_nothing_leads_out_of_the_file(inspector: Inspector, factory: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", inspector, evaluate(inspector, factory))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(each.startswith(("data:image/jpeg;base64,", "#")) for each in Parsed(page).addresses)
    assert not re.search(r"https?:|url\(|@import|<script|<link|None|Undefined", page)
    assert all(page.count(f'id="{each[1:]}"') == 1 for each in Parsed(page).addresses if each[0] == "#")


def test_a_file_name_that_is_no_unicode_can_still_be_written(written: Written) -> None:
    assert r"caf\udce9 is no picture" in written(BOTH, unreadable=["caf\udce9 is no picture"])


def test_evaluations_made_by_hand_have_the_keys_of_real_ones(
    inspector: Inspector, factory: Path, made: Callable[..., Evaluation]
) -> None:
    real = evaluate(inspector, factory).metrics
    by_hand = made(BOTH).metrics
    assert set(by_hand) == set(real)
    for name in ("data", "pixel_mode", "mean", "worst", "pooled"):
        assert set(by_hand[name]) == set(real[name])
    (ours, *_), (theirs, *_) = by_hand["categories"].values(), real["categories"].values()
    assert set(ours) == set(theirs)
    assert set(ours["defects"]["chip"]) == set(next(iter(theirs["defects"].values())))


def test_test_pictures_that_the_training_has_seen_are_owned_up_to(written: Written) -> None:
    data = {"root": "/data", "layout": "MVTec AD layout"}
    assert "No test picture is byte for byte the same" in written(BOTH)
    assert "<b>2 of the test pictures are byte for byte the same" in written(
        BOTH, data=data | {"seen_in_training": 2}
    )


def test_every_category_is_drawn_with_its_own_thresholds_and_all_together_with_none(
    made: Callable[..., Evaluation], inspector: Inspector, tmp_path: Path
) -> None:
    scores = {"bolt": {"good": [1], "chip": [4]}, "nut": {"good": [1], "chip": [4]}}
    own = {"bolt": THRESHOLDS, "nut": THRESHOLDS.model_copy(update={"fail_above": 3.5})}
    write_report(tmp_path / "r.html", inspector, replace(made(scores, THRESHOLDS), thresholds=own))
    page = (tmp_path / "r.html").read_text()
    drawn = {label: re.findall(r'<line class="fail" x1="([\d.]+)"', chart) for chart, label in figures(page)}
    assert drawn == {"all together": [], "bolt": ["200.0"], "nut": ["250.0"]}


def figures(page: str) -> list[tuple[str, str]]:
    """Each drawing with its name."""
    return re.findall(r'<div class="drawings">(.*?)<figcaption><b>(.*?)</b>', page, re.S)


def test_false_alarms_and_recognition_stand_beside_the_verdicts_of_a_category(written: Written) -> None:
    page = written({"nut": {"good": [1, 3.5, 1, 1], "chip": [4]}}, THRESHOLDS)
    table = page[page.index("<h3>Verdicts</h3>") :]
    assert "The thresholds promise at most 10.0 % on average." in table
    cells = re.search(r"<tr><td>nut</td>(.*?)</tr>", table)
    assert cells
    assert re.findall(r"<td[^>]*>([^<]*)</td>", cells[1])[-4:] == ["1", "25.0", "75.0", "25.0"]


def test_what_the_thresholds_promise_is_in_the_report(written: Written) -> None:
    page = written(BOTH, THRESHOLDS)
    assert promise(9, 0.1) in page
    assert promise(9, 0.5, "are no PASS") in page
    assert "Categories with thresholds of their own: none" in page
