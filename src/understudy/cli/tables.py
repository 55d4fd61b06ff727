"""Tables of results, in a file or on standard output, written row by row: finished work is never lost."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from understudy.errors import extra_needed

__all__ = ["COLUMNS", "ResultRow", "TableFormat", "table_writer"]

TableFormat = Literal["jsonl", "csv", "parquet"]
ResultRow = dict[str, str | float | list[dict[str, float]] | None]
COLUMNS = ("path", "score", "verdict", "category", "reason", "regions", "error", "heatmap", "mask")


@contextmanager
def table_writer(form: TableFormat, path: Path | None) -> Iterator[Callable[[ResultRow], None]]:
    """Yield a function that writes one row with the keys of ``COLUMNS``.

    Args:
        form: format of the table.
        path: file to write; ``None`` for standard output.

    Raises:
        InputError: Parquet was asked for and pyarrow is not installed.
        WorkError: the file cannot be written.
    """
    if path is None:
        yield _row_writer(form, sys.stdout)
        return
    from understudy.files import writing

    with writing(path):
        if form == "parquet":
            with _parquet(path) as write:
                yield write
            return
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            yield _row_writer(form, file)


def _row_writer(form: TableFormat, file: TextIO) -> Callable[[ResultRow], None]:
    if form == "csv":
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        return lambda row: table.writerow(_flat(row))
    return lambda row: print(json.dumps(row, ensure_ascii=False), file=file, flush=True)


def _flat(row: ResultRow) -> ResultRow:
    """Turn lists into JSON text, for tables whose cells are text or numbers."""
    return {name: json.dumps(value) if isinstance(value, list) else value for name, value in row.items()}


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[ResultRow], None]]:
    """Collect rows and write them when the work ends, even if it ends early."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise extra_needed("parquet", "--format parquet") from error
    text, number = pa.string(), pa.float64()
    kinds: list[tuple[str, Any]] = [(c, number if c == "score" else text) for c in COLUMNS]
    rows: list[ResultRow] = []
    try:
        yield lambda row: rows.append(_flat(row))
    finally:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(kinds)), path)
