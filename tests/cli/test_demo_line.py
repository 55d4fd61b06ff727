"""The station to try: its model is made once, and its line feeds the station until it is stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from understudy.cli import demo_line
from understudy.errors import UnderstudyError
from understudy.runtime.inspector import Inspector


class Station:
    """Takes pictures, and is busy at first."""

    def __init__(self) -> None:
        self.intake = self
        self.names: list[str] = []
        self.enough = threading.Event()

    def inspect(self, pictures: Any, *, job: str) -> None:
        (picture,) = pictures
        assert picture.data.startswith(b"\x89PNG")
        self.names.append(picture.name)
        if len(self.names) == 30:
            self.enough.set()
        if len(self.names) == 1:
            raise UnderstudyError("busy")


def test_the_line_feeds_good_and_bad_pictures_until_it_is_stopped(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_line, "pictures_of", lambda folder: factory)
    monkeypatch.setattr(demo_line, "DEFECTS", 0.5)
    station: Any = Station()
    with demo_line.Line(tmp_path, station, per_second=1000) as line:
        assert station.enough.wait(60)
    fed = len(station.names)
    assert station.names[:2] == ["000001.png", "000002.png"]
    assert not line._thread.is_alive()
    assert len(station.names) == fed
    assert line._good
    assert line._defective


@pytest.mark.usefixtures("small_demo")
def test_the_model_is_trained_and_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_line, "STEPS", 2)
    monkeypatch.setattr(demo_line, "PICTURES", 10)
    made = demo_line.demo_model(tmp_path)
    assert Inspector.load(made).calibration is not None
    before = (made / "manifest.json").stat().st_mtime_ns
    assert demo_line.demo_model(tmp_path) == made
    assert (made / "manifest.json").stat().st_mtime_ns == before
