"""A file is written whole or not at all, and what cannot be written is said in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from understudy import InputError, WorkError
from understudy.files import (
    check_writable,
    named_path,
    prepare_folder,
    sha256_of,
    write_bytes,
    write_json,
    write_text,
)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output folder .*file/m cannot be written.*--out"):
        prepare_folder(tmp_path / "file" / "m")


def test_a_full_disk_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=2_000_000))
    with pytest.raises(WorkError, match=r"No space left on device; make room there: 2\.0 MB are free"):
        write_json(tmp_path / "a.json", {})
    with pytest.raises(WorkError, match=r"make room there: 1\.0 MB are missing"):
        write_bytes(tmp_path / "a.bin", bytes(3_000_000))


def test_a_text_that_cannot_be_written_leaves_the_old_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    before = path.read_text()

    def half(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(WorkError, match=r"a\.json cannot be written"):
        write_json(path, {"a": 2})
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path], "half a file was left behind"


def test_numbers_that_json_does_not_know_are_refused_and_other_scripts_stay_readable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []
    write_json(tmp_path / "a.json", {"größe": "裂纹"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "größe": "裂纹"\n}\n'


def test_a_name_that_is_no_unicode_is_written_with_its_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "a\udcff.png")
    assert (tmp_path / "a.txt").read_text() == "a\\udcff.png"


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("text", ["", " ", "é" * 128, "a/" + "b" * 256 + "/c", "a/" * 2100])
def test_a_name_that_no_system_can_take_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=r"^the folder has (no name; is a shell|too long a name, )"):
        named_path(text, "the folder")


def test_a_name_as_long_as_can_be_is_taken() -> None:
    assert named_path("é" * 127 + "x", "the folder") == Path("é" * 127 + "x")


def test_a_check_leaves_no_folder_behind_and_removes_none(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    check_writable(tmp_path / "old" / "new" / "newer")
    assert [p.name for p in tmp_path.rglob("*")] == ["old"]


def test_a_folder_that_is_prepared_is_there_and_empty(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
