"""Lists of pictures, CSV and Parquet: headers, separators, encodings, labels, missing files, damage."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from robustness.damage import DAMAGES
from robustness.judge import Case, Kind, Trial, right

GOOD = ("good", "OK", "Normal", "pass", "i.O.", "gut", "bon", "0", "0.0", "False", "defect-free")
BAD = ("bad", "NOK", "dent", "Scratch", "n.i.O.", "hole 2", "1", "crack")
COLUMNS = ("path", "category", "split", "label", "mask")
Row = dict[str, str]
Reading = set[tuple[str, str, str, bool, int]]
"""Real path, category, split, whether good, number of masks: of each picture."""


def _rows(case: Case) -> list[Row]:
    """Pictures with all that a list can say of them; the files are there."""
    rng, rows = case.rng, []
    for number in range(rng.randint(3, 8)):
        split = rng.choice(("train", "test", "TEST", "val", "validation", "Train"))
        good = split.lower() != "test" or rng.random() < 0.4
        name = rng.choice((f"{number}.png", f"a b{number}.png", f"deep/{number}.jpg", f"ü,;{number}.png"))
        row = {"path": name, "category": rng.choice(("nut", "Schraube ö", "a,b")), "split": split}
        row |= {"label": rng.choice(GOOD if good else BAD), "mask": ""}
        if not good and rng.random() < 0.5:
            row["mask"] = f"{number}_mask.png"
        rows.append(row)
        for each in filter(None, (row["path"], row["mask"])):
            (case.place / each).parent.mkdir(exist_ok=True)
            (case.place / each).write_bytes(b"")
    return rows


def _reading(place: Path, rows: Sequence[Row]) -> Reading:
    splits = {"val": "validation"}
    return {
        (
            os.path.realpath(place / row["path"]),
            row["category"],
            splits.get(row["split"].lower(), row["split"].lower()),
            row["label"] in GOOD,
            int(bool(row["mask"])),
        )
        for row in rows
    }


def _csv(rows: Sequence[Row], columns: Sequence[str], separator: str = ",") -> str:
    file = io.StringIO()
    table = csv.writer(file, delimiter=separator, lineterminator="\n")
    table.writerow(columns)
    table.writerows([row.get(name.strip().lower(), row.get(name, "")) for name in columns] for row in rows)
    return file.getvalue()


def _save(case: Case, rows: Sequence[Row], columns: Sequence[str] = COLUMNS, plain: bool = True) -> Path:
    """Write a list in any of the ways that are allowed."""
    rng = case.rng
    columns = [rng.choice((name, name.upper(), f" {name.title()} ")) for name in columns]
    rng.shuffle(columns)
    if rng.random() < 0.3 and plain:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = case.place / "list.parquet"
        names = {c: c.strip().lower() for c in columns}
        pq.write_table(pa.table({c: pa.array([r.get(n, "") for r in rows]) for c, n in names.items()}), path)
        return path
    path = case.place / rng.choice(("list.csv", "LIST.CSV"))
    text = _csv(rows, columns, rng.choice(",;\t"))
    if rng.random() < 0.3:
        text = text.replace("\n", rng.choice(("\r\n", "\n\n")))
    path.write_bytes(text.encode(rng.choice(("utf-8", "utf-8-sig"))))
    return path


def _open(path: Path) -> Callable[[], Any]:
    def act() -> Any:
        from understudy.data.layouts import open_pictures

        found = open_pictures(path)
        return {
            (os.path.realpath(r.path), r.category, r.split, r.is_good, len(r.masks)) for r in found.records
        }

    return act


def _is(expected: Reading) -> Callable[[Any], str | None]:
    def wrong(found: Any) -> str | None:
        return f"read as {sorted(found ^ expected)[:3]}" if found != expected else None

    return wrong


def good_list(case: Case) -> Trial:
    """A list in any allowed form; every row must be read as it was written."""
    rows, rng = _rows(case), case.rng
    if rng.random() < 0.3:
        for row in rows:
            row["path"] = str(case.place / row["path"])
    columns = list(COLUMNS)
    if rng.random() < 0.2 and not any(row["mask"] for row in rows):
        columns.remove("mask")
    path = _save(case, rows, columns)
    if rng.random() < 0.2:
        columns.remove("category")
        path = _save(case, rows, columns)
        rows = [row | {"category": path.stem} for row in rows]
    return Trial(path.name, _open(path), _is(_reading(case.place, rows)), plain=True)


def _misspelt(rows: list[Row], rng: Random) -> list[str]:
    old, new = rng.choice((("label", "lable"), ("mask", "masks"), ("split", "spilt"), ("category", "class")))
    return [new if name == old else name for name in COLUMNS]


def _twice(rows: list[Row], rng: Random) -> list[str]:
    return [*COLUMNS, rng.choice(COLUMNS)]


def _no_path(rows: list[Row], rng: Random) -> list[str]:
    return list(COLUMNS[1:])


def _change(**cells: str) -> Callable[[list[Row], Random], None]:
    return lambda rows, rng: rows[0].update(cells)


FAULTS: dict[str, Callable[[list[Row], Random], list[str] | None]] = {
    "misspelt column": _misspelt,
    "column twice": _twice,
    "no path": _no_path,
    "missing file": _change(path="absent.png"),
    "folder as picture": _change(path="."),
    "no name": _change(path=""),
    "defect to learn from": _change(split="train", label="dent", mask=""),
    "mask on a good row": _change(split="test", label="good", mask="0_mask.png"),
    "mask without a label": _change(split="test", label="", mask="0_mask.png"),
    "test without a label": _change(split="test", label="", mask=""),
    "unknown split": _change(split="tset"),
    "missing mask": _change(split="test", label="dent", mask="absent.png"),
    "row twice": lambda rows, rng: rows.append(dict(rows[0])),
    "name of no file system": _change(path="a" * 300 + ".png"),
    "no rows": lambda rows, rng: rows.clear(),
}


def wrong_list(case: Case) -> Trial:
    """A list that breaks one rule: it must be refused."""
    rows, rng = _rows(case), case.rng
    (case.place / "0_mask.png").write_bytes(b"")
    what = rng.choice(
        [*FAULTS, "UTF-16", "Latin-1", "NUL", "empty", "quotes", "cells", "fifo", "Parquet by name"]
    )
    if what in FAULTS:
        columns = FAULTS[what](rows, rng) or COLUMNS
        path = _save(case, rows, columns, plain=what != "column twice")
    else:
        path = case.place / "list.csv"
        text = _csv(rows, COLUMNS)
        contents: dict[str, Callable[[], bytes]] = {
            "UTF-16": lambda: text.encode("utf-16"),
            "Latin-1": lambda: (text + "é.png,n,test,good,\n").encode("latin-1", "replace"),
            "NUL": lambda: text.encode() + b"\0\0,a\n",
            "empty": lambda: b"",
            "quotes": lambda: text.encode() + b'"a.png,nut,test,good,\n',
            "cells": lambda: text.encode() + b"a.png,nut\n",
            "Parquet by name": lambda: text.encode(),
        }
        if what == "fifo":
            os.mkfifo(path)
        else:
            path = path.with_suffix(".parquet") if what == "Parquet by name" else path
            path.write_bytes(contents[what]())
    return Trial(what, _open(path), lambda _: f"the list was accepted: {what}")


def damaged_list(case: Case) -> Trial:
    """A damaged list: no format has a checksum, so only a way out is asked for, and no traceback."""
    path = _save(case, _rows(case))
    name = case.rng.choice(list(DAMAGES))
    path.write_bytes(DAMAGES[name](path.read_bytes(), case.rng))
    return Trial(f"{name} in {path.name}", _open(path), right)


KINDS = (
    Kind("lists", good_list, 40),
    Kind("wrong lists", wrong_list, 40),
    Kind("damaged lists", damaged_list, 40),
)
