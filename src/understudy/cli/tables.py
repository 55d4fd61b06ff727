r"""Tables of results, in a file or on standard output, written row by row: finished work is never lost.

A table is UTF-8 whatever the locale. A byte of a file name that is no UTF-8 appears as ``\udcXX`` in all
formats, where XX is the byte in hexadecimal.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from understudy.errors import WorkError, extra_needed
from understudy.files import write_bytes, writing

__all__ = ["COLUMNS", "ResultRow", "TableFormat", "require_table", "table_writer"]

TableFormat = Literal["jsonl", "csv", "parquet"]
ResultRow = dict[str, str | float | list[dict[str, float]] | None]
COLUMNS = ("path", "score", "verdict", "category", "reason", "regions", "error", "heatmap", "mask")

Put = Callable[[bytes], None]
"""Writes bytes, all of them or none."""


def require_table(form: TableFormat) -> None:
    """Check that a table can be written in a format, before anything is spent or removed.

    Raises:
        InputError: Parquet was asked for and pyarrow is not installed.
    """
    if form == "parquet" and not importlib.util.find_spec("pyarrow"):
        raise extra_needed("parquet", "--format parquet")


@contextmanager
def table_writer(form: TableFormat, path: Path | None) -> Iterator[Callable[[ResultRow], None]]:
    """Yield a function that writes one row with the keys of ``COLUMNS``.

    A row of JSON lines or CSV is in the file when the function returns. Rows of Parquet are written together
    when the block ends, by an error or by Ctrl-C too.

    Args:
        form: format of the table.
        path: file to write; ``None`` for standard output, which takes no Parquet.

    Raises:
        InputError: Parquet was asked for and pyarrow is not installed.
        WorkError: the table cannot be written, for example because the disk is full. Whole rows are kept.
    """
    if path is None:
        yield _row_writer(form, _put_out)
    elif form == "parquet":
        with _parquet(path) as write:
            yield write
    else:
        with writing(path):
            file = path.open("wb", buffering=0)
        with file:
            yield _row_writer(form, lambda row: _append(file, row, path))


def _row_writer(form: TableFormat, put: Put) -> Callable[[ResultRow], None]:
    if form == "csv":
        put(_csv_line(COLUMNS))
        return lambda row: put(_csv_line([_cells(row)[name] for name in COLUMNS]))
    return lambda row: put((json.dumps(_readable(row), ensure_ascii=False) + "\n").encode())


def _csv_line(cells: Any) -> bytes:
    line = io.StringIO(newline="")
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


def _append(file: io.FileIO, row: bytes, path: Path) -> None:
    """Append a row to a file; a row that does not fit leaves nothing behind."""
    with writing(path):
        whole = file.tell()
        try:
            _write_all(file, row)
        except OSError:
            file.truncate(whole)
            raise


def _put_out(row: bytes) -> None:
    """Write a row to standard output at once.

    Raises:
        WorkError: it cannot be written; :class:`BrokenPipeError`, if nobody reads any more, is left as it is.
    """
    out = getattr(sys.stdout, "buffer", None)
    try:
        sys.stdout.flush()
        if out is None:  # a replacement of standard output that takes text alone
            sys.stdout.write(row.decode())
        else:
            _write_all(getattr(out, "raw", out), row)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkError(
            f"the rows cannot be written to standard output: {error.strerror or error}; "
            "write them to a folder with --out DIR"
        ) from error


def _write_all(file: Any, row: bytes) -> None:
    """Write to a file that may take less than it is given."""
    while row:
        row = row[file.write(row) or 0 :]


def _readable(row: ResultRow) -> ResultRow:
    """Return a row whose texts can be written as UTF-8."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _cells(row: ResultRow) -> ResultRow:
    """Return a row for tables whose cells are text or numbers: lists become JSON text."""
    return {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in _readable(row).items()
    }


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[ResultRow], None]]:
    """Collect rows and write them when the work ends, even if it ends early; print them if that fails."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise extra_needed("parquet", "--format parquet") from error
    text, number = pa.string(), pa.float64()
    kinds: list[tuple[str, Any]] = [(c, number if c == "score" else text) for c in COLUMNS]
    rows: list[ResultRow] = []
    try:
        yield lambda row: rows.append(_cells(row))
    finally:
        table = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), table)
        try:
            write_bytes(path, table.getvalue())
        except WorkError as error:
            show = _row_writer("jsonl", _put_out)
            for row in rows:
                show(row)
            raise WorkError(f"{error}; its rows were printed instead") from error
