"""Starting and stopping a station: ports, addresses, parts around it; and a kill at any moment."""

from __future__ import annotations

import shutil
import socket
from functools import partial
from pathlib import Path

import pytest
from serving import Served, serving
from waiting import until

from understudy.errors import InputError, WorkError
from understudy.runtime.inspector import Inspector
from understudy.station.config import StationOptions
from understudy.station.server import running
from understudy.station.tokens import Tokens


def _has_rows(served: Served, n: int) -> bool:
    return len(served.call("api/inspections").json["rows"]) >= n


def test_other_machines_need_a_token(exported: Path, tmp_path: Path) -> None:
    options = StationOptions(folder=tmp_path / "s", host="0.0.0.0", port=0)
    with (
        pytest.raises(InputError, match="a token is needed; make one first"),
        running(options, Inspector.load, exported),
    ):
        pass
    (tmp_path / "s").mkdir(exist_ok=True)
    Tokens(tmp_path / "s").create("line", "inspect")
    with running(options, Inspector.load, exported) as run:
        assert run.url.startswith("http://0.0.0.0:")


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = StationOptions(folder=tmp_path / "s", port=taken.getsockname()[1])
        with (
            pytest.raises(WorkError, match="choose another --port"),
            running(options, Inspector.load, tmp_path / "no model"),
        ):
            pass
    assert not (tmp_path / "s").exists()


def test_pictures_of_a_watched_folder_are_inspected_once(
    exported: Path, factory: Path, tmp_path: Path
) -> None:
    pictures = sorted(factory.glob("*/test/*/*.png"))[:4]
    inbox = tmp_path / "camera"
    inbox.mkdir()
    for _ in range(2):  # and not again after a restart
        with serving(exported, tmp_path / "s", watch=inbox) as served:
            for i, picture in enumerate(pictures):
                shutil.copyfile(picture, inbox / f".{i}")
                (inbox / f".{i}").rename(inbox / f"{i}.png")
            (inbox / "broken.png").write_bytes(b"no picture")
            until(partial(_has_rows, served, len(pictures)))
            rows = served.call("api/inspections").json["rows"]
            assert sorted(row["inspection"]["name"] for row in rows) == [f"{i}.png" for i in range(4)]
    assert sorted(p.name for p in inbox.iterdir()) == ["0.png", "1.png", "2.png", "3.png", "broken.png"]
