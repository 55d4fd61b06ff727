"""How the report leads with the defects found at a rate of false alarms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from understudy import Evaluation
from understudy.evaluate.rates import found_at
from understudy.evaluate.report.tables import found_table, lead_rate
from understudy.runtime.decision import Calibration, Limits, Thresholds
from understudy.types import Basis

Scores = Mapping[str, Mapping[str, Sequence[float]]]
Made = Callable[..., Evaluation]
Written = Callable[..., str]

SCORES = {
    "bolt": {"good": [0, 1], "bent": [5, 6, 7, 1]},
    "nut": {"good": [0, 1], "chip": [1, 7]},
}
ESTIMATED = Thresholds(
    fail_above=3, review_above=2, false_alarm_rate=0.01, review_rate=0.05, n_good=40, basis="estimated"
)


@pytest.fixture
def found(made: Made) -> Callable[..., dict[str, Any]]:
    """Scores -> figures at rates with limits 6.5, 5.5, 4.5 and 0.5 for each category."""

    def count(
        scores: Scores, basis: Basis = "estimated", rates: Sequence[float] = (0.005, 0.01, 0.02, 0.05)
    ) -> dict[str, Any]:
        heights = {0.005: 6.5, 0.01: 5.5, 0.02: 4.5, 0.05: 0.5}
        limits = tuple(
            Limits(rate=r, overall=heights[r], categories=dict.fromkeys(scores, heights[r])) for r in rates
        )
        calibration = Calibration(
            thresholds=ESTIMATED.model_copy(update={"basis": basis}),
            categories={},
            masks=limits[0],
            min_area=16,
            distances=limits[0],
            promise="",
            rates=limits,
            scores=dict.fromkeys(scores, (0.0,) * 120),
        )
        return found_at(made(scores).tested, {c: c for c in scores}, calibration)

    return count


def first_lines(page: str) -> list[str]:
    between = page[page.index("</h1>") : page.index('<div class="tiles">')]
    return [re.sub(r"<[^>]+>", "", p).replace("&nbsp;", " ").strip() for p in between.split("</p>")][:2]


def rows(page: str) -> dict[str, list[str]]:
    table = page[page.index('id="found"') : page.index('id="figures"')]
    return {
        label: re.findall(r"<td[^>]*>([^<]*)</td>", cells)
        for label, cells in re.findall(r"<tr><td>([^<]+)</td>(.*?)</tr>", table)
    }


def test_the_first_sentence_is_what_is_found_at_one_percent_and_names_the_worst_category(
    written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    page = written(SCORES, ESTIMATED, **found(SCORES))
    first, second = first_lines(page)
    assert first == (
        "At 1 % of false alarms this model finds 50.0 % of the defects, as a mean over the categories, and "
        "50.0 % in the worst one, bolt. At the limits for that rate 0.0 % of the good test pictures raised a "
        "false alarm, which agrees with the estimate."
    )
    assert second.startswith("Of 6 defective test pictures 4 fail")
    assert page.index('id="found"') < page.index('id="figures"') < page.index("<th>AUROC</th>")
    tiles = page[page.index('<div class="tiles">') : page.index("<nav>")]
    assert re.findall(r"<span>([^<]+)</span>", tiles)[0] == "Found at 1 % of false alarms"


def test_every_rate_has_a_column_and_the_category_with_the_fewest_found_comes_first(
    written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    scores = {**SCORES, "pin": {"good": [0, 1], "bent": [1]}}
    shown = rows(written(scores, ESTIMATED, **found(scores)))
    assert list(shown) == ["pin", "bolt", "nut", "mean", "all"]
    assert shown["bolt"] == ["25.0", "50.0", "75.0", "100.0", "0.0", "0.0", "0.0", "50.0", "75.0"]
    assert shown["pin"] == ["0.0", "0.0", "0.0", "100.0", "0.0", "0.0", "0.0", "50.0", "0.0"]
    assert shown["mean"][:4] == ["25.0", "33.3", "41.7", "100.0"]
    assert shown["all"][1] == "42.9"


def test_false_alarms_that_chance_does_not_explain_are_marked_and_said(
    written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    scores = {"nut": {"good": [6.0] * 5 + [0.0] * 5, "chip": [6, 7]}}
    page = written(scores, ESTIMATED, **found(scores))
    assert "which is more than estimated, and chance does not explain it." in first_lines(page)[0]
    assert (
        page.count('title="chance does not explain the distance to the rate"') == 6
    )  # three rates, nut and all
    promised = written(scores, ESTIMATED, **found(scores, "promised"))
    assert "which is more than promised" in first_lines(promised)[0]
    kept = {"nut": {"good": [0.0] * 10, "chip": [6, 7]}}
    assert "which keeps the promise." in first_lines(written(kept, ESTIMATED, **found(kept, "promised")))[0]


def test_without_defects_or_limits_the_report_begins_as_before(
    written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    good = {"nut": {"good": [0, 1]}}
    page = written(good, ESTIMATED, **found(good))
    assert first_lines(page)[0].startswith("There are no defective test pictures")
    assert rows(page)["nut"][:4] == ["–"] * 4
    old = {"found_at_missing": dict.fromkeys(("0.01", "0.02"), "older version; calibrate again")}
    assert "is not known: older version; calibrate again.</p>" in written(SCORES, ESTIMATED, **old)
    bare = written(SCORES, ESTIMATED)
    assert 'id="found"' not in bare
    assert first_lines(bare)[0].startswith("Of 6 defective test pictures")


def test_a_rate_that_cannot_be_promised_is_named_and_the_nearest_one_comes_first(
    made: Made, written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    few = found(SCORES, "promised", (0.02, 0.05))
    page = written(SCORES, ESTIMATED, **few)
    assert "At 2 % of false alarms" in first_lines(page)[0]
    assert "1 %: 40 good pictures can promise 2.4 % at best" in page
    table = found_table(few)
    assert table is not None
    assert (table.lead, table.rates) == (0.02, (0.02, 0.05))
    assert lead_rate(made(SCORES).metrics) is None
    assert found_table(made(SCORES).metrics) is None


def test_an_estimate_is_nowhere_called_a_promise(
    written: Written, found: Callable[..., dict[str, Any]]
) -> None:
    page = written(SCORES, ESTIMATED, **found(SCORES))
    text = re.sub(r"<style>.*?</style>", "", page)
    facts = text[text.index("<dt>Thresholds</dt>") :]
    assert "promise" not in text.replace(facts, "")
    assert "about 1.0 % fail, as estimated" in text
    assert "about 5 % of good pictures are no PASS" in facts
    assert "on average over calibrations" not in facts
