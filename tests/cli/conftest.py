"""What tests of the command line share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    """May be changed."""
    return Path(shutil.copytree(factory, tmp_path / "data"))


@pytest.fixture
def exported_copy(exported: Path, tmp_path: Path) -> Path:
    """An exported model that may be changed."""
    return Path(shutil.copytree(exported, tmp_path / "exported"))


@pytest.fixture
def the_error(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Give the one line on stderr that is the error; what came before is progress."""

    def read() -> str:
        (line,) = (e for e in capsys.readouterr().err.splitlines() if e.startswith("understudy: "))
        return line

    return read
