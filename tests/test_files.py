"""A file is written whole or not at all, and what cannot be written is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy import InputError, WorkError
from understudy.files import prepare_folder, write_json


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"output folder .*file/m cannot be written.*--out"):
        prepare_folder(tmp_path / "file" / "m")


def test_a_full_disk_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(WorkError, match="No space left on device; make room there"):
        write_json(tmp_path / "a.json", {})
