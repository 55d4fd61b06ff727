"""A folder of results holds one run, and everything that a stopped run had finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy import InputError, WorkError
from understudy.files import PART
from understudy.folders import own_files
from understudy.results import Claim, filling, results_in


def names(folder: Path) -> set[str]:
    return {
        str(p.relative_to(folder))
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith(".understudy")
    }


def test_results_replace_those_of_the_last_run_when_they_are_whole(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with results_in(tmp_path, ["a.json"]) as draft:
            (draft / "a.json").write_text(text)
    assert (tmp_path / "a.json").read_text() == "second"
    with pytest.raises(FileNotFoundError), results_in(tmp_path, ["a.json"]) as draft:
        (draft / "a.json").write_text((tmp_path / "missing").read_text())
    assert (tmp_path / "a.json").read_text() == "second"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize("edited", [False, True])
def test_results_never_replace_a_file_of_the_user(tmp_path: Path, edited: bool) -> None:
    if edited:
        with results_in(tmp_path, ["a.json"]) as draft:
            (draft / "a.json").write_text("ours")
    (tmp_path / "a.json").write_text("the user's")
    sentence = r"a\.json is not on understudy's list of its files there, or was changed since"
    with pytest.raises(InputError, match=sentence), results_in(tmp_path, ["a.json"]):
        pytest.fail("work was done before the refusal")
    assert (tmp_path / "a.json").read_text() == "the user's"


def test_other_files_may_lie_beside_results_unless_the_folder_is_for_them_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with results_in(tmp_path, ["a"]) as draft:
        (draft / "a").write_text("1")
    assert names(tmp_path) == {"a", "notes.txt"}
    with pytest.raises(InputError, match=r"notes\.txt is not on understudy's list"), results_in(tmp_path):
        pytest.fail("work was done before the refusal")


def test_a_second_run_is_refused_and_with_overwrite_the_first_ones_files_are_gone(tmp_path: Path) -> None:
    with filling(tmp_path, ["rows", "maps"]) as claim:
        claim("rows").write_text("1")
        claim("maps/a").write_text("1")
        claim("maps/b").write_text("1")
    sentence = "holds the results of an earlier run; choose another --out"
    with pytest.raises(InputError, match=sentence), filling(tmp_path, ["rows", "maps"]):
        pytest.fail("runs were mixed")
    with filling(tmp_path, ["rows", "maps"], overwrite=True) as claim:
        claim("rows").write_text("2")
        claim("maps/a").write_text("2")
    assert names(tmp_path) == {"rows", "maps/a"}


def test_a_stopped_run_keeps_what_it_had_and_is_not_mixed_with_the_next(tmp_path: Path) -> None:
    claim = Claim(tmp_path)  # a killed process never closes its list
    claim("rows").write_text("finished work")
    claim("maps/a").write_text("x")
    (tmp_path / "maps" / "the user's").write_text("x")
    with pytest.raises(InputError, match="earlier run"), filling(tmp_path, ["rows"]):
        pytest.fail("runs were mixed")
    assert (tmp_path / "rows").read_text() == "finished work"
    with filling(tmp_path, ["rows"], overwrite=True) as claim:
        claim("rows").write_text("new")
    assert names(tmp_path) == {"rows", "maps/the user's"}


def test_the_half_of_a_file_that_a_stopped_run_was_writing_is_in_nobodys_way(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    claim("maps/a").write_text("x")
    (tmp_path / "maps" / f"{PART}17-b").write_text("half")
    claim("maps/b")
    (tmp_path / f"{PART}17-rows").write_text("half")
    with filling(tmp_path, ["rows", "maps"], overwrite=True) as claim:
        claim("rows").write_text("new")
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")} == {"rows", ".understudy.json"}


def test_overwriting_refuses_before_it_removes_anything_if_a_file_was_edited(tmp_path: Path) -> None:
    with filling(tmp_path, ["rows", "maps"]) as claim:
        claim("rows").write_text("1")
        claim("maps/a").write_text("1")
    (tmp_path / "rows").write_text("edited")
    sentence = "rows is not on understudy's list of its files there, or was changed since"
    with pytest.raises(InputError, match=sentence), filling(tmp_path, ["rows", "maps"], overwrite=True):
        pytest.fail("the edited file was in the way")
    assert names(tmp_path) == {"rows", "maps/a"}


def test_a_file_that_appears_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    with filling(tmp_path, ["rows"]) as claim:
        (tmp_path / "rows").write_text("the user's")
        with pytest.raises(WorkError, match="appeared while results were written"):
            claim("rows")
    assert (tmp_path / "rows").read_text() == "the user's"


def test_names_that_are_no_unicode_are_listed(tmp_path: Path) -> None:
    name = "maps/a\udcff.png"
    with filling(tmp_path, ["maps"]) as claim:
        claim(name).write_text("1")
    assert list(own_files(tmp_path)) == [name]
    with filling(tmp_path, ["maps"], overwrite=True):
        pass
    assert names(tmp_path) == set()


def test_results_of_another_verb_in_the_same_folder_stay(tmp_path: Path) -> None:
    rows = ["rows.csv", "rows.jsonl", "maps"]
    with filling(tmp_path, rows) as claim:
        claim("rows.csv").write_text("1")
        claim("maps/a").write_text("1")
    for text in ("first", "second"):
        with results_in(tmp_path, ["metrics.json"]) as draft:
            (draft / "metrics.json").write_text(text)
    assert names(tmp_path) == own_files(tmp_path).keys() == {"rows.csv", "maps/a", "metrics.json"}
    with filling(tmp_path, rows, overwrite=True) as claim:
        claim("rows.jsonl").write_text("2")
    assert names(tmp_path) == own_files(tmp_path).keys() == {"rows.jsonl", "metrics.json"}
    assert (tmp_path / "metrics.json").read_text() == "second"
