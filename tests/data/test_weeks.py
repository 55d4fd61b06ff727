"""The weeks of a station, as a file of its data set."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from understudy.data.weeks import WEEKS, Share, Week, read_weeks, write_weeks
from understudy.errors import InputError

NONE = Share(count=0, of=0)
WEEK = Week(
    week="2026-W10",
    start=date(2026, 3, 2),
    inspected=40,
    alarms=Share(count=4, of=40, share=0.1, low=0.04, high=0.23),
    reviewed=4,
    found=Share(count=3, of=4, share=0.75, low=0.3, high=0.95),
    false_alarms=Share(count=1, of=4, share=0.25, low=0.05, high=0.7),
    missed=NONE,
)


def test_weeks_come_back_as_they_were_written(tmp_path: Path) -> None:
    write_weeks(tmp_path, [WEEK, WEEK])
    assert read_weeks(tmp_path) == [WEEK, WEEK]


def test_a_folder_without_them_has_none(tmp_path: Path) -> None:
    assert read_weeks(tmp_path) == []
    assert read_weeks(tmp_path / "gone") == []


@pytest.mark.parametrize("text", ["", "{", "{}", '[{"week": 3}]', '[{"week": "a", "inspected": -1}]'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / WEEKS).write_text(text)
    with pytest.raises(InputError, match=r"weeks\.json is damaged; export the reviewed pictures again"):
        read_weeks(tmp_path)
