"""The campaign in short, the judge that must be able to fail, and the page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robustness import fakes, page
from robustness.judge import FAULTS, FINE, HANG, LOST, WRONG, Verdict
from robustness.kinds import KINDS
from robustness.pool import run_cases
from robustness.run import ROOT, plan

PAGE = ROOT / "docs" / "reliability.md"


@pytest.fixture(scope="module")
def judged() -> list[Verdict]:
    """The verdicts on commands that do wrong on purpose; each note is the outcome that is due."""
    asked = [(kind.name, number) for kind in fakes.KINDS.values() for number in range(kind.most or 0)]
    return list(run_cases(asked, fakes.KINDS, None, seed=0, workers=2))


def test_no_bad_input_and_no_fault_ends_in_a_traceback_a_hang_a_wrong_answer_or_a_lost_file() -> None:
    command = [sys.executable, "tests/robustness/run.py", "--cases", "150", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = int(done.stdout.split("| **all** |")[1].split("|")[0])
    assert tried >= 120


def test_the_judge_sees_every_fault_of_a_command(judged: list[Verdict]) -> None:
    wrong = [v for v in judged if v.outcome != v.note and v.outcome != HANG and "died" not in v.detail]
    assert not wrong
    assert {v.outcome for v in judged} >= FAULTS


def test_a_hanging_command_and_a_dying_one_are_counted_and_do_not_stop_the_others(
    judged: list[Verdict],
) -> None:
    names = list(fakes.ACTS)
    by_number = {v.number: v for v in judged if v.kind == "fakes"}
    assert len(by_number) == len(names)
    assert by_number[names.index("hangs")].outcome == HANG
    assert "died" in by_number[names.index("dies")].detail


def test_a_file_that_is_lost_or_changed_is_named_and_one_that_may_be_written_is_not(
    judged: list[Verdict],
) -> None:
    losses = {v.number: v for v in judged if v.kind == "losses"}
    assert [losses[n].outcome for n in range(4)] == [LOST, LOST, FINE, FINE]
    assert "thesis.txt" in losses[0].detail


def test_refusing_good_input_and_leaving_half_a_file_count_as_wrong(judged: list[Verdict]) -> None:
    assert {v.outcome for v in judged if v.kind in ("plain", "messes")} == {WRONG}


def test_a_plan_has_every_kind_and_as_many_cases_as_were_asked_for() -> None:
    asked = plan(20000, ())
    assert {name for name, _ in asked} == {kind.name for kind in KINDS.values() if not kind.missing()}
    assert len(asked) == len(set(asked)) == pytest.approx(20000, rel=0.05)


def test_the_table_counts_each_case_once_and_the_page_keeps_its_text(tmp_path: Path) -> None:
    verdicts = [Verdict("lists", 0, FINE, ""), Verdict("lists", 1, HANG, ""), Verdict("masks", 0, WRONG, "")]
    campaign = page.Campaign(verdicts, seed=5, seconds=60.0)
    path = tmp_path / "page.md"
    path.write_text(f"before\n{page.BEGIN}old table\n{page.END}after\n")
    page.write(path, campaign)
    page.write(path, campaign)
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old table" not in text
    assert "| **all** | 3 | 1 | 0 | 0 | 1 | 1 | 0 |" in text
    assert text.count("seed 5") == 1


def test_the_page_has_a_row_for_every_kind() -> None:
    table = PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2].partition(page.END)[0]
    assert {name for name in KINDS if f"| {name} |" not in table} == set()
