"""Rows are written as they come, in every format, to a file or to standard output."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from understudy import InputError, WorkError
from understudy.cli.tables import COLUMNS, ResultRow, TableFormat, table_writer

REGIONS: list[dict[str, float]] = [{"left": 1, "top": 2, "peak": 0.5}]
FORMATS: tuple[TableFormat, ...] = ("jsonl", "csv", "parquet")


def row(**values: str | float | list[dict[str, float]] | None) -> ResultRow:
    return dict.fromkeys(COLUMNS) | values


ROWS = [
    row(path="nut ü.png", score=0.25, verdict="FAIL", regions=REGIONS),
    row(path="b.png", error="is broken"),
]


def read(form: TableFormat, path: Path) -> list[dict[str, object]]:
    if form == "parquet":
        return [dict(each) for each in pq.read_table(path).to_pylist()]
    text = path.read_text(encoding="utf-8")
    return (
        [json.loads(line) for line in text.splitlines()]
        if form == "jsonl"
        else [*csv.DictReader(text.splitlines())]
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_every_column_of_every_row(form: TableFormat, tmp_path: Path) -> None:
    path = tmp_path / f"table.{form}"
    with table_writer(form, path) as write:
        for each in ROWS:
            write(each)
    good, broken = read(form, path)
    assert tuple(good) == tuple(broken) == COLUMNS
    assert (good["path"], float(str(good["score"])), good["verdict"]) == ("nut ü.png", 0.25, "FAIL")
    assert (good["regions"] if form == "jsonl" else json.loads(str(good["regions"]))) == REGIONS
    assert broken["error"] == "is broken"
    nothing = "" if form == "csv" else None
    assert (broken["score"], broken["regions"], good["error"]) == (nothing, nothing, nothing)


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_written_before_the_work_fails_is_kept(form: TableFormat, tmp_path: Path) -> None:
    def fail() -> None:
        with table_writer(form, tmp_path / "table") as write:
            write(ROWS[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [each["path"] for each in read(form, tmp_path / "table")] == ["nut ü.png"]


def test_a_row_is_on_standard_output_as_soon_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with table_writer("jsonl", None) as write:
        write(ROWS[0])
        assert json.loads(capsys.readouterr().out) == ROWS[0]
    with table_writer("csv", None) as write:
        write(ROWS[1])
    assert capsys.readouterr().out.splitlines()[0] == ",".join(COLUMNS)


def test_a_name_that_is_no_unicode_is_written_with_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    with table_writer("jsonl", path) as write:
        write(row(path="caf\udce9.png"))
    assert "caf\\udce9.png" in path.read_text(encoding="utf-8")


def test_parquet_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(InputError, match=r"--format parquet needs .*understudy\[parquet\]"),
        table_writer("parquet", tmp_path / "table.parquet"),
    ):
        pass


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_cannot_be_written_is_named(form: TableFormat, tmp_path: Path) -> None:
    with (
        pytest.raises(WorkError, match=r"nowhere.* cannot be written"),
        table_writer(form, tmp_path / "nowhere" / "t"),
    ):
        pass
