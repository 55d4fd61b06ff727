"""The weeks of a station in the report on its reviewed pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from understudy.data.weeks import WEEKS, Share, Week, write_weeks

Written = Callable[..., str]
SCORES = {"nut": {"good": [1.0], "chip": [2.0]}}


def _data(root: Path) -> dict[str, object]:
    return {"root": str(root), "layout": "MVTec AD layout", "seen_in_training": 0}


def test_the_report_has_the_weeks_the_last_one_first(written: Written, tmp_path: Path) -> None:
    found = Share(count=3, of=4, share=0.75, low=0.301, high=0.954)
    none = Share(count=0, of=0)
    weeks = [
        Week(
            week=f"2026-W{n}",
            start=date(2026, 3, n),
            inspected=1000 + n,
            alarms=Share(count=4, of=1000 + n, share=0.004, low=0.002, high=0.01),
            reviewed=4,
            found=found,
            false_alarms=none,
            missed=none,
        )
        for n in (10, 11)
    ]
    write_weeks(tmp_path, weeks)
    page = written(SCORES, data=_data(tmp_path))
    assert page.index("2026-W11") < page.index("2026-W10")
    assert "1011" in page
    assert "3 of 4" in page
    assert "30.1–95.4 %" in page
    assert 'href="#weeks"' in page


def test_other_data_sets_have_none_and_a_damaged_file_is_named(written: Written, tmp_path: Path) -> None:
    assert 'id="weeks"' not in written(SCORES, data=_data(tmp_path))
    (tmp_path / WEEKS).write_text("{")
    page = written(SCORES, data=_data(tmp_path))
    assert "is damaged; export the reviewed pictures again" in page
    assert 'id="weeks"' not in page
