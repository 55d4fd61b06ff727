"""A list of pictures -> records: a CSV or Parquet file with one row per picture.

The column ``path`` is required; ``category``, ``split``, ``label`` and ``mask`` are optional; other columns
are refused. Without a column ``split``, good pictures are learned from, and the others are tested. Paths are
absolute, relative to the folder of the list, or URIs of object stores. Several masks of one picture are
separated by semicolons. A label is a word for good, or else the kind of defect.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from understudy.data.records import GOOD, Record
from understudy.data.remote import fetch_all, is_uri
from understudy.data.words import Words
from understudy.errors import InputError, extra_needed
from understudy.runtime.images import read_bytes

__all__ = ["ListRow", "checked", "is_list", "list_records", "one_of", "read_rows"]


Meaning = TypeVar("Meaning")
COLUMNS = ("path", "category", "split", "label", "mask")
SPLITS: Mapping[str, Literal["train", "validation", "test"]] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
    "training": "train",
    "valid": "validation",
    "testing": "test",
}
_PARQUET = ".parquet"


class ListRow(NamedTuple):
    """One row of a list.

    Attributes:
        place: file and line or row, for errors.
        cells: text of each column, without space around; empty if absent.
        columns: columns that the list has.
    """

    place: str
    cells: Mapping[str, str]
    columns: frozenset[str]


def is_list(path: Path) -> bool:
    """Tell from the file name whether a file is a list."""
    return path.suffix.lower() in (".csv", _PARQUET)


def list_records(path: Path, words: Words, uri: str | None = None) -> list[Record]:
    """Return the records of a list.

    Args:
        path: the list.
        words: labels that count as good.
        uri: where the list was fetched from; its paths count from there.

    Raises:
        InputError: the list cannot be read, breaks a rule, or names missing files.
        WorkError: a file that it names by a URI cannot be fetched.
    """
    rows = list(read_rows(path, COLUMNS, ("path",), only_these=True))
    words.refuse_unused((row.cells["label"] for row in rows), path)
    base = uri.rpartition("/")[0] if uri else None
    places: dict[str, str] = {}  # URI -> first row that names it
    for row in rows:
        for name in (row.cells["path"], *_masks(row)):
            if (full := _uri(base, name)) is not None:
                places.setdefault(full, row.place)
    fetched = fetch_all(places) if places else {}

    def locate(name: str) -> Path:
        full = _uri(base, name)
        return path.parent / name if full is None else fetched[full]

    return checked(path, [(row.place, _record(path, row, words, locate)) for row in rows])


def _uri(base: str | None, name: str) -> str | None:
    """Return the URI of a file that a list names; ``None`` for one of this machine."""
    if is_uri(name):
        return name
    return f"{base}/{name}" if base and name and not Path(name).is_absolute() else None


def _masks(row: ListRow) -> list[str]:
    return [name.strip() for name in row.cells["mask"].split(";") if name.strip()]


def _record(source: Path, row: ListRow, words: Words, locate: Callable[[str], Path]) -> Record:
    cells = row.cells
    if not cells["path"]:
        raise InputError(f"{row.place}: the path is empty; name a picture or take the row out")
    masks = tuple(map(locate, _masks(row)))
    label = cells["label"]
    is_good = not label or words.is_good_label(label)
    default = "train" if is_good or "split" in row.columns else "test"
    split = one_of(SPLITS, row, "split", default)
    if not label and (masks or split == "test"):
        why = "the row has a mask" if masks else "the picture is in split test"
        raise InputError(f"{row.place}: the label is empty, and {why}; write good, or the kind of defect")
    if masks and is_good:
        raise InputError(
            f"{row.place}: the label {label!r} says that the picture is good, and a mask marks a defect; "
            "mend the label, or take the mask out"
        )
    category = cells["category"] or source.stem
    return Record(category, split, GOOD if is_good else label, locate(cells["path"]), masks)


def one_of(known: Mapping[str, Meaning], row: ListRow, column: str, default: str = "") -> Meaning:
    """Return what the word in a cell means, in upper or lower case.

    Args:
        known: meaning of each known word, in lower case.
        row: row of the cell.
        column: column of the cell.
        default: word for an empty cell.

    Raises:
        InputError: the word is unknown; the message lists the known ones.
    """
    word = row.cells[column] or default
    if word.casefold() not in known:
        raise InputError(f"{row.place}: the {column} is {word!r}; it must be one of {', '.join(known)}")
    return known[word.casefold()]


def checked(source: Path, placed: Sequence[tuple[str, Record]]) -> list[Record]:
    """Return the records of a list after checking its rules.

    Args:
        source: file of the list.
        placed: place and record of each row.

    Raises:
        InputError: there are no records, a picture is listed twice, a defect is to be learned from, or a file
            is missing.
    """
    if not placed:
        raise InputError(f"{source} lists no pictures; give it a row for each")
    places: dict[str, str] = {}
    missing: list[str] = []
    for place, record in placed:
        first = places.setdefault(os.path.normpath(record.path), place)
        if first != place:
            raise InputError(f"{place}: {record.path} is listed already ({first}); keep one of the rows")
        if record.split != "test" and not record.is_good:
            raise InputError(
                f"{place}: a picture labelled {record.defect!r} is in split {record.split}, and only good "
                "ones are learned from; move it to split test"
            )
        files = (record.path, *record.masks)
        missing += [f"{place}: {file} does not exist" for file in files if not _is_file(file, place)]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]}{more}; put what is missing there, or take its rows out of the list")
    return [record for _, record in placed]


def _is_file(file: Path, place: str) -> bool:
    try:
        return file.is_file()
    except OSError as error:  # as a name that is too long
        raise InputError(
            f"{place}: {file} cannot be looked up: {error.strerror or error}; mend it"
        ) from error


def read_rows(
    path: Path, columns: Sequence[str], needed: Sequence[str], *, only_these: bool = False
) -> Iterator[ListRow]:
    """Read some columns of a CSV or Parquet file, row by row; rows without text in them are skipped.

    A CSV file is in UTF-8. Its separator is the comma, semicolon or tab, whichever its header has most of.

    Args:
        path: CSV or Parquet file.
        columns: columns to read, in lower case; the file may write them in any case.
        needed: columns that the file must have.
        only_these: refuse a file with other columns.

    Raises:
        InputError: the file cannot be read, lacks a column, or has one that it may not have.
    """
    rows_of = _parquet_rows if path.suffix.lower() == _PARQUET else _csv_rows
    rules = _Header(columns, needed, only_these)
    for place, cells in rows_of(path, rules):
        texts = [text.strip() for text in cells.values()]
        if any(texts):
            own = dict(zip(cells, texts, strict=True))
            yield ListRow(place, dict.fromkeys(columns, "") | own, frozenset(own))


class _Header(NamedTuple):
    """Rules for the columns of a table; see :func:`read_rows`."""

    columns: Sequence[str]
    needed: Sequence[str]
    only_these: bool


def _csv_rows(path: Path, rules: _Header) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place of each row and its cells by column."""
    data = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8; save the list as CSV in UTF-8") from error
    header_line = text.partition("\n")[0]
    table = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(",;\t", key=header_line.count), strict=True
    )
    try:
        header = next(table, [])
        taken = _positions(path, header, rules)
        for cells in table:
            if not any(cells):
                continue
            place = f"{path}, line {table.line_num}"
            if len(cells) != len(header):
                raise InputError(
                    f"{place}: {len(cells)} cells under {len(header)} columns; "
                    "put cells that hold the separator into double quotes"
                )
            yield place, {name: cells[i] for name, i in taken.items()}
    except csv.Error as error:
        raise InputError(f"{path}, line {table.line_num}: {error}; mend it, or save the list anew") from error


def _parquet_rows(path: Path, rules: _Header) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the place of each row and its cells by column."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise extra_needed("parquet", f"the list {path}") from error
    try:
        file = pq.ParquetFile(pa.BufferReader(read_bytes(path)))
        names = file.schema_arrow.names
        taken = _positions(path, names, rules)
        table = file.read(columns=[names[i] for i in taken.values()])
        texts = [table.column(names[i]).cast(pa.string()).to_pylist() for i in taken.values()]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path} is no list in Parquet: {reason}; save it anew, its cells as text"
        ) from error
    for number, cells in enumerate(zip(*texts, strict=True), start=1):
        yield f"{path}, row {number}", {n: cell or "" for n, cell in zip(taken, cells, strict=True)}


def _positions(path: Path, header: Sequence[str], rules: _Header) -> dict[str, int]:
    """Return the position of each column that the table has."""
    names = [name.strip().casefold() for name in header]
    has = ", ".join(filter(None, names)) or "none"
    for column in rules.columns:
        if names.count(column) > 1:
            raise InputError(f"{path} has two columns {column!r}; keep one")
        if column in rules.needed and column not in names:
            raise InputError(f"{path} has no column {column!r} (its columns are {has}); add it to the header")
    unknown = [name.strip() for name in header if name.strip().casefold() not in rules.columns]
    if rules.only_these and unknown:
        known = ", ".join(rules.columns)
        if "" in names:
            raise InputError(
                f"{path} has a column without a name (column {names.index('') + 1}), and a list has only "
                f"{known}; remove it (in pandas with index=False), or the separator at the end of the lines"
            )
        raise InputError(
            f"{path} has a column {unknown[0]!r}, and a list has only {known}; rename or remove it"
        )
    return {column: names.index(column) for column in rules.columns if column in names}
