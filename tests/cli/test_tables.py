"""Rows are written as they come, in every format, to a file or to standard output."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from understudy import InputError, WorkError
from understudy.cli import tables
from understudy.cli.tables import COLUMNS, ResultRow, TableFormat, table_writer

REGIONS: list[dict[str, float]] = [{"left": 1, "top": 2, "peak": 0.5}]
FORMATS: tuple[TableFormat, ...] = ("jsonl", "csv", "parquet")
ODD = os.fsdecode(b"caf\xe9.png")  # a name in Latin-1


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
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("fault", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("form", FORMATS)
def test_what_was_written_before_the_work_fails_is_kept(
    form: TableFormat, fault: type[BaseException], tmp_path: Path
) -> None:
    def fail() -> None:
        with table_writer(form, tmp_path / "table") as write:
            write(ROWS[0])
            raise fault

    with pytest.raises(fault):
        fail()
    assert [each["path"] for each in read(form, tmp_path / "table")] == ["nut ü.png"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_row_is_in_the_file_as_soon_as_it_is_written(form: TableFormat, tmp_path: Path) -> None:
    with table_writer(form, tmp_path / "table") as write:
        for n, each in enumerate(ROWS, start=1):
            write(each)
            assert len(read(form, tmp_path / "table")) == n


def test_a_row_is_on_standard_output_as_soon_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with table_writer("jsonl", None) as write:
        write(ROWS[0])
        assert json.loads(capsys.readouterr().out) == ROWS[0]
    with table_writer("csv", None) as write:
        write(ROWS[1])
    assert capsys.readouterr().out.splitlines()[0] == ",".join(COLUMNS)


def test_standard_output_may_be_a_replacement_that_takes_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with table_writer("jsonl", None) as write:
        write(ROWS[0])
    assert json.loads(sys.stdout.getvalue()) == ROWS[0]


@pytest.mark.parametrize("form", FORMATS)
def test_a_name_that_is_no_unicode_is_written_with_its_bytes_in_every_format(
    form: TableFormat, tmp_path: Path
) -> None:
    path = tmp_path / "table"
    with table_writer(form, path) as write:
        write(row(path=ODD, error=f"{ODD} is no picture"))
        write(ROWS[0])
    odd, other = read(form, path)
    assert odd["path"] == r"caf\udce9.png"
    assert odd["error"] == r"caf\udce9.png is no picture"
    assert other["path"] == "nut ü.png"


@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "utf-8:strict"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii:strict"}]
)
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_on_standard_output_are_utf_8_whatever_the_locale(form: str, locale: dict[str, str]) -> None:
    code = (
        "import sys; from understudy.cli.tables import COLUMNS, table_writer\n"
        "with table_writer(sys.argv[1], None) as write:\n"
        "    for name in ('caf\\udce9.png', 'nut ü.png'):\n"
        "        write(dict.fromkeys(COLUMNS) | {'path': name})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, form], capture_output=True, check=True, env=os.environ | locale
    )
    text = done.stdout.decode("utf-8")
    rows = (
        [json.loads(t) for t in text.splitlines()]
        if form == "jsonl"
        else [*csv.DictReader([*text.splitlines()])]
    )
    assert [each["path"] for each in rows] == [r"caf\udce9.png", "nut ü.png"]


class FullDisk(io.FileIO):
    """Has room for so many bytes."""

    room = 400

    def write(self, data: Any) -> int:
        left = self.room - self.tell()
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(bytes(data)[:left])


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_full_disk_leaves_whole_rows_alone(
    form: TableFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table"
    monkeypatch.setattr(Path, "open", lambda self, mode, buffering: FullDisk(str(self), "w"))

    def fill() -> None:
        with table_writer(form, path) as write:
            for _ in range(100):
                write(ROWS[0])

    with pytest.raises(WorkError, match=r"table cannot be written: No space left on device; make room there"):
        fill()
    monkeypatch.undo()
    kept = read(form, path)
    assert 1 <= len(kept) < 100
    assert {each["path"] for each in kept} == {"nut ü.png"}
    assert path.read_bytes().endswith(b"\n")
    assert path.stat().st_size < FullDisk.room


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_standard_output_that_is_full_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(full)))
        with (
            pytest.raises(
                WorkError, match=r"standard output: No space left .* write them to a folder with --out"
            ),
            table_writer("jsonl", None) as write,
        ):
            write(ROWS[0])


def test_parquet_rows_are_printed_if_their_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise WorkError(f"{path} cannot be written: No space left on device; make room there")

    monkeypatch.setattr(tables, "write_bytes", full)

    def collect() -> None:
        with table_writer("parquet", tmp_path / "table") as write:
            write(ROWS[1])

    with pytest.raises(WorkError, match=r"No space left .* its rows were printed instead$"):
        collect()
    assert json.loads(capsys.readouterr().out) == ROWS[1]


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
