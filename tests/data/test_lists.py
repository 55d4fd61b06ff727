from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from understudy import InputError
from understudy.data.layouts import open_pictures

ROWS = [
    ("path", "category", "split", "label", "mask"),
    ("a.png", "nut", "train", "good", ""),
    ("b.png", "nut", "val", "OK", ""),
    ("c.png", "nut", "Test", "Normal", ""),
    ("deep er/ü 50%.png", "nut", "test", "Scratch", "m.png; n.png"),
    ("d.png", "bolt", "validation", "0", ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that ``ROWS`` names."""
    (tmp_path / "deep er").mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png", "deep er/ü 50%.png", "m.png", "n.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
    return tmp_path


def write(path: Path, rows: Sequence[Sequence[str]], separator: str = ",", encoding: str = "utf-8") -> Path:
    quoted = ('"' + '","'.join(row) + '"' for row in rows)
    lines = (line.replace('","', f'"{separator}"') for line in quoted)
    path.write_text("\r\n".join(lines) + "\r\n", encoding=encoding, newline="")
    return path


def test_a_list_tells_everything_of_every_picture(folder: Path) -> None:
    found = open_pictures(write(folder / "list.csv", ROWS))
    assert found.layout == "list of pictures"
    assert [(r.category, r.split, r.defect, r.path.name) for r in found.records] == [
        ("bolt", "validation", "good", "d.png"),
        ("nut", "test", "Scratch", "ü 50%.png"),
        ("nut", "test", "good", "c.png"),
        ("nut", "train", "good", "a.png"),
        ("nut", "validation", "good", "b.png"),
    ]
    assert [r.masks for r in found.records if r.masks] == [(folder / "m.png", folder / "n.png")]


def test_the_path_alone_makes_good_pictures_to_learn_from(folder: Path) -> None:
    path = folder / "my parts.csv"
    path.write_text(f"PATH,label\na.png,\n{folder / 'b.png'},\n")
    found = open_pictures(path)
    assert (found.categories, len(found.train())) == (["my parts"], 2)
    path.write_text("path\na.png\n\nb.png\n")
    assert len(open_pictures(path).train()) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_write_is_the_same_list(folder: Path, separator: str, encoding: str) -> None:
    plain = open_pictures(write(folder / "plain.csv", ROWS)).records
    header = [name.capitalize() + " " for name in ROWS[0]]
    rows = [header, *ROWS[1:], [""] * 5]
    sheet = open_pictures(write(folder / "sheet.CSV", rows, separator, encoding)).records
    assert sheet == plain
    assert [r.masks for r in sheet] == [r.masks for r in plain]


@pytest.mark.parametrize("number", [False, True])
def test_parquet_holds_the_same_list(folder: Path, number: bool) -> None:
    rows = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
    columns: dict[str, list[object]] = {name: [row[name] or None for row in rows] for name in ROWS[0]}
    plain = open_pictures(write(folder / "list.csv", ROWS)).records
    if number:
        columns["label"] = [0, 0, 0, 1, 0]
    table = pa.table(columns)
    pq.write_table(table, folder / "list.parquet")
    found = open_pictures(folder / "list.parquet").records
    assert [(r.path, r.split, r.is_good, r.masks) for r in found] == [
        (r.path, r.split, r.is_good, r.masks) for r in plain
    ]
    assert {r.defect for r in found if not r.is_good} == ({"1"} if number else {"Scratch"})


@pytest.mark.parametrize("label", ["Gut", "PASS", "i.O.", "0.0", "o.k."])
def test_labels_are_the_words_that_folders_have(folder: Path, label: str) -> None:
    found = open_pictures(write(folder / "list.csv", [ROWS[0], ("a.png", "", "test", label, "")]))
    assert found.records[0].is_good


def test_any_other_label_is_a_kind_of_defect_with_a_mask_or_without(folder: Path) -> None:
    rows = [ROWS[0], ("a.png", "", "test", "NG", ""), ("b.png", "", "test", "Goood", "m.png")]
    found = open_pictures(write(folder / "list.csv", rows))
    assert [(r.defect, len(r.masks)) for r in found.records] == [("Goood", 1), ("NG", 0)]


def test_a_list_without_splits_learns_from_good_pictures_and_tests_the_others(folder: Path) -> None:
    (folder / "list.csv").write_text("path;label\na.png;OK\nb.png;NOK\nc.png;\n")
    found = open_pictures(folder / "list.csv").records
    assert [(r.split, r.defect, r.path.name) for r in found] == [
        ("test", "NOK", "b.png"),
        ("train", "good", "a.png"),
        ("train", "good", "c.png"),
    ]


def test_labels_of_ones_own_count_as_good_or_bad(folder: Path) -> None:
    rows = [ROWS[0], ("a.png", "", "test", "A-Ware", ""), ("b.png", "", "test", "ok", "")]
    found = open_pictures(write(folder / "list.csv", rows), good=["A-Ware"], bad=["ok"])
    assert [r.defect for r in found.records] == ["good", "ok"]
    with pytest.raises(InputError, match=r"--bad names 'bware', and .* no label of that name"):
        open_pictures(folder / "list.csv", bad=["B-Ware"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("file", "label"), ("a.png", "good")], r"has no column 'path' \(its columns are file, label\)"),
        ([("path", "Path "), ("a.png", "b.png")], "two columns 'path'"),
        ([("path",)], "lists no pictures"),
        (
            [("path", "split"), ("a.png", "learn")],
            r"line 2: the split is 'learn'.*train, validation, val, test",
        ),
        ([("path", "split"), ("", "test")], "line 2: the path is empty"),
        (
            [("path", "label", "split"), ("a.png", "bent", "")],
            "line 2: .*'bent' is in split train.*move it to split test",
        ),
        ([("path", "split", "label"), ("a.png", "val", "1")], "line 2: .*'1' is in split validation"),
        ([("path",), ("a.png",), ("./deep er/../a.png",)], r"line 3: .* is listed already \(.*line 2\)"),
        ([("path",), ("a.png",), ("x.png",), ("y.png",)], r"line 3: .*x\.png does not exist \(and 1 more\)"),
        ([("path",), ("deep er",)], r"line 2: .*deep er does not exist;"),
        ([("path", "label"), ("a.png", "good"), ("b.png",)], "line 3: 1 cells under 2 columns"),
        ([("path",), ("a.png", "b.png")], "line 2: 2 cells under 1 columns"),
        ([("path", "category"), ("a.png", "nut"), ("b.png", "Nut")], "'Nut' and 'nut'"),
        (
            [("path", "lable"), ("a.png", "bent")],
            "has a column 'lable', and a list has only path, category, split, label, mask; rename or",
        ),
        (
            [("", "path"), ("0", "a.png")],
            r"a column without a name \(column 1\), .*\(in pandas with index=False",
        ),
        (
            [("path", "label", ""), ("a.png", "ok", "")],
            r"a column without a name \(column 3\), .*at the end of",
        ),
        (
            [("path", "split"), ("a.png", "test")],
            "line 2: the label is empty, .*is in split test; write good",
        ),
        (
            [("path", "label", "mask"), ("a.png", "", "m.png")],
            "line 2: the label is empty, and the row has a mask",
        ),
        (
            [ROWS[0], ("a.png", "", "test", "OK", "m.png")],
            "line 2: the label 'OK' .* and a mask marks a defect",
        ),
        ([("path",), ("x" * 300,)], "line 2: .* cannot be looked up: File name too long"),
    ],
)
def test_a_list_that_breaks_a_rule_is_named_with_the_line(
    folder: Path, rows: list[tuple[str, ...]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        open_pictures(write(folder / "list.csv", rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path\na.png\nü.png\n".encode("latin-1"), "line 3: not UTF-8"),
        ("path\na.png\n".encode("utf-16"), "line 1: not UTF-8"),
        (b'path\n"a.png\n', r"list\.csv, line 2: "),
        (b"", r"no column 'path' \(its columns are none\)"),
    ],
)
def test_a_damaged_list_is_named(folder: Path, content: bytes, message: str) -> None:
    (folder / "list.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_pictures(folder / "list.csv")


def test_a_parquet_list_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "list.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(InputError, match=r"list\.parquet is no list in Parquet"):
        open_pictures(path)
    pq.write_table(pa.table({"path": ["a.png"], "label": [["good"]]}), path)
    with pytest.raises(InputError, match="its cells as text"):
        open_pictures(path)
    pq.write_table(pa.table({"path": ["a.png", "x.png"]}), path)
    with pytest.raises(InputError, match=r"list\.parquet, row 2: .*x\.png does not exist"):
        open_pictures(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"understudy\[parquet\]"):
        open_pictures(path)
