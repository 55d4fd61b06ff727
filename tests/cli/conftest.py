"""What tests of the command line share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import understudy
from understudy.lab import factory as factory_room
from understudy.lab.factory import FactoryPlan
from understudy.progress import Advance


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    """May be changed."""
    return Path(shutil.copytree(factory, tmp_path / "data"))


@pytest.fixture
def small_demo(shallow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo makes small pictures, few of them to test, and trains a small student; all else is its own."""
    make, train = factory_room.write_factory, understudy.fit

    def make_small(root: Path, plan: FactoryPlan, advance: Advance) -> None:
        make(root, replace(plan, good=2, each_defect=1, size=64), advance)

    monkeypatch.setattr(factory_room, "write_factory", make_small)
    monkeypatch.setattr(
        understudy,
        "fit",
        lambda *args, **options: train(*args, **options, image_size=64, strides=(8, 16)),
        raising=False,
    )


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
