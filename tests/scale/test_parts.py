"""A folder of parts: whole parts count, half ones do not, and nothing of anybody else is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from understudy import InputError, WorkError
from understudy.scale.batch import RESULT_COLUMNS
from understudy.scale.parts import Origin, finished_parts, keeping_others_out, write_part

OURS = Origin("0" * 64)


def columns(*paths: str, error: str | None = None) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [None] * len(paths) for name in RESULT_COLUMNS}
    return found | {"path": list(paths), "score": [0.5] * len(paths), "error": [error] * len(paths)}


def test_parts_are_one_table_for_every_reader(tmp_path: Path) -> None:
    write_part(str(tmp_path), columns("a.png", "b.png"), OURS)
    write_part(str(tmp_path), columns("c.png", error="c.png is broken"), OURS)
    (tmp_path / ".understudy-part-1.part").write_bytes(b"half")
    table = pyarrow.dataset.dataset(tmp_path, format="parquet").to_table()
    assert sorted(table["path"].to_pylist()) == ["a.png", "b.png", "c.png"]
    text, number = pa.string(), pa.float64()
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        name: number if name == "score" else text for name in RESULT_COLUMNS
    }
    done = finished_parts(str(tmp_path), OURS)
    assert (done.paths, done.failed) == ({"a.png", "b.png", "c.png"}, {"c.png"})


def test_the_same_pictures_are_the_same_part_and_others_another(tmp_path: Path) -> None:
    first = write_part(str(tmp_path), columns("a.png"), OURS)
    assert write_part(str(tmp_path), columns("a.png"), OURS) == first
    assert write_part(str(tmp_path), columns("b.png"), OURS) != first


def test_a_part_half_written_is_no_part_and_is_set_aside(tmp_path: Path) -> None:
    whole = tmp_path / write_part(str(tmp_path), columns("a.png"), OURS)
    half = tmp_path / write_part(str(tmp_path), columns("b.png"), OURS)
    half.write_bytes(half.read_bytes()[:-20])
    content = half.read_bytes()
    done = finished_parts(str(tmp_path), OURS)
    assert done.paths == {"a.png"}
    assert whole.exists()
    assert [path.name for path in tmp_path.glob("*.parquet") if not path.name.startswith(".")] == [whole.name]
    for _ in range(2):  # also the runs after it leave it where it is
        with keeping_others_out(str(tmp_path)):
            assert finished_parts(str(tmp_path), OURS).paths == {"a.png"}
    (aside,) = done.damaged
    assert Path(aside).read_bytes() == content


def test_a_part_that_cannot_be_read_for_want_of_memory_stays_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write_part(str(tmp_path), columns("a.png"), OURS)

    def no_room(file: object) -> object:
        raise pa.ArrowMemoryError("malloc of size 1 failed")

    monkeypatch.setattr(pq, "ParquetFile", no_room)
    with pytest.raises(MemoryError):
        finished_parts(str(tmp_path), OURS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_local_folder_may_be_named_by_its_uri(tmp_path: Path) -> None:
    out = (tmp_path / "new" / "a b").as_uri()
    with keeping_others_out(out):
        assert finished_parts(out, OURS).paths == set()
        name = write_part(out, columns("a.png"), OURS)
        with pytest.raises(InputError, match="is being written by"), keeping_others_out(out):
            pass
    assert (tmp_path / "new" / "a b" / name).is_file()
    assert finished_parts(out, OURS).paths == {"a.png"}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (Origin("1" * 64), "another model"),
        (replace(OURS, category="nut"), "pictures of any product"),
    ],
)
def test_parts_of_another_model_are_refused_and_overwritten_on_demand(
    tmp_path: Path, other: Origin, what: str
) -> None:
    name = write_part(str(tmp_path), columns("a.png"), OURS)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=rf"{name} holds results of {what}.*--overwrite"):
        finished_parts(str(tmp_path), other)
    assert (tmp_path / name).exists()
    assert finished_parts(str(tmp_path), other, overwrite=True).paths == set()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["sales.parquet", "part-0123456789abcdef.parquet", "broken.parquet"])
def test_a_table_of_somebody_else_is_refused_and_stays(tmp_path: Path, name: str, overwrite: bool) -> None:
    path = tmp_path / name
    pq.write_table(pa.table({"path": ["a.png"]}), path)
    if name == "broken.parquet":
        path.write_bytes(b"none")
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"{name} is no part that understudy wrote"):
        finished_parts(str(tmp_path), OURS, overwrite=overwrite)
    assert path.read_bytes() == before


def test_a_store_holds_parts_too() -> None:
    write_part("memory://parts/out", columns("a.png"), OURS)
    assert finished_parts("memory://parts/out", OURS).paths == {"a.png"}
    with keeping_others_out("memory://parts/out"):
        finished_parts("memory://parts/out", OURS, overwrite=True)
    assert finished_parts("memory://parts/out", OURS).paths == set()


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with (
        keeping_others_out(out),
        pytest.raises(InputError, match="is being written by"),
        keeping_others_out(out),
    ):
        pass


def test_a_folder_that_cannot_take_a_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WorkError, match="cannot be written"):
        write_part(str(tmp_path / "file" / "out"), columns("a.png"), OURS)


def test_a_name_that_is_no_utf8_is_written_as_its_bytes(tmp_path: Path) -> None:
    write_part(str(tmp_path), columns("caf\udce9.png"), OURS)
    assert finished_parts(str(tmp_path), OURS).paths == {"caf\\udce9.png"}
