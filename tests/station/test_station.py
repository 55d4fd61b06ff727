"""A station in trouble: no database, no room, broken settings. The line goes on, and the state says so."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from serving import Served, serving

from understudy.errors import InputError
from understudy.runtime.inspector import Inspector
from understudy.station.archive import Store, StoreError
from understudy.station.config import StationOptions
from understudy.station.station import Station


@pytest.fixture(scope="module")
def pictures(factory: Path) -> list[Path]:
    return sorted(factory.glob("*/test/*/*.png"))[:3]


def test_without_its_database_the_line_goes_on(
    served: Served, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.station.recorder.RETRY", 0.0)
    before = served.inspect(pictures[0], id="a").json["results"][0]
    assert before["stored"]

    def gone(self: Store, *given: object, **named: object) -> object:
        raise StoreError("the database cannot be reached")

    with monkeypatch.context() as patch:
        for name in ("add", "find_clients", "counts", "count_waiting", "log", "search", "set_value"):
            patch.setattr(Store, name, gone)
        answer = served.inspect(*pictures, id="b")
        assert answer.status == 200
        assert [each["stored"] for each in answer.json["results"]] == [False] * 3
        assert all(each["inspection"]["verdict"] for each in answer.json["results"])
        state = served.call("api/state").json
        assert (state["state"], state["stored"]) == ("red", False)
        assert state["reasons"] == ["Inspections are not stored: the database cannot be reached."]
        history = served.call("api/inspections")
        assert (history.status, history.headers["Retry-After"]) == (503, "1")
        refused = served.post("api/thresholds", {"review_above": 1, "fail_above": 2})
        assert refused.status == 503
        assert served.call("v2/health/ready").status == 200
    again = served.inspect(*pictures, id="b").json["results"]
    assert [each["stored"] for each in again] == [True] * 3
    assert served.call("api/state").json["state"] == "green"
    assert served.inspect(pictures[0], id="a").json["results"][0]["repeated"]


def test_without_room_on_the_disk_the_line_goes_on(
    served: Served, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        (said,) = served.inspect(pictures[0]).json["results"]
        assert said["inspection"]["verdict"]
        assert said["inspection"]["picture"] is None
        state = served.call("api/state").json
        assert state["state"] == "red"
        assert state["reasons"][0].startswith("Pictures are not kept:")
        assert str(served.station.options.folder) not in state["reasons"][0]
    (said,) = served.inspect(pictures[1]).json["results"]
    assert said["inspection"]["picture"]
    assert served.call("api/state").json["state"] == "green"


def test_a_folder_belongs_to_one_station(served: Served, exported: Path) -> None:
    with pytest.raises(InputError, match="is being written by process"):
        Station(StationOptions(folder=served.station.options.folder), Inspector.load)


def test_two_stations_share_a_database(
    exported: Path, tmp_path: Path, pictures: list[Path], database_url: str
) -> None:
    with (
        serving(exported, tmp_path / "a", station="a", database=database_url) as first,
        serving(exported, tmp_path / "b", station="b", database=database_url) as second,
    ):
        one = first.inspect(pictures[0], id="same").json["results"][0]
        two = second.inspect(pictures[1], id="same").json["results"][0]
        assert one["inspection"]["id"] != two["inspection"]["id"]
        rows = first.call("api/inspections?at=*").json["rows"]
        assert {row["inspection"]["station"] for row in rows} == {"a", "b"}
        second.post("api/thresholds", {"review_above": -9, "fail_above": -8})
        assert first.station.versions.current.inspector.thresholds != (
            second.station.versions.current.inspector.thresholds
        )


def test_drift_is_remembered_over_a_restart(exported: Path, tmp_path: Path, pictures: list[Path]) -> None:
    with serving(exported, tmp_path / "s") as served:
        served.inspect(*pictures)
        before = served.call("api/drift").json["streams"]
    with serving(None, tmp_path / "s") as served:
        assert served.call("api/drift").json["streams"] == before
    assert sum(each["n"] for each in before) > 0


def test_a_station_needs_a_model_once(tmp_path: Path) -> None:
    station = Station(StationOptions(folder=tmp_path / "s"), Inspector.load)
    try:
        with pytest.raises(InputError, match="has no model yet; name one"):
            station.control.start()
    finally:
        station.close()


def test_a_model_without_thresholds_gives_scores_and_no_verdicts(
    exported: Path, tmp_path: Path, pictures: list[Path], uncalibrate
) -> None:
    import shutil

    bare = uncalibrate(shutil.copytree(exported, tmp_path / "bare"))
    with serving(bare, tmp_path / "s") as served:
        record = served.inspect(pictures[0]).json["results"][0]["inspection"]
        assert (record["verdict"], record["fail_above"], record["calibration"]) == (None, None, None)
        assert record["score"] is not None
        state = served.call("api/state").json
        assert state["state"] == "yellow"
        assert "not calibrated" in state["reasons"][0]
        assert served.call("api/thresholds").json == {"products": []}
        assert served.post("api/thresholds", {"review_above": 1, "fail_above": 2}).status == 422


def test_a_lost_database_is_found_again_without_a_picture(
    served: Served, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Store, *given: object) -> None:
        raise StoreError("the database cannot be reached")

    monkeypatch.setattr("understudy.station.recorder.RETRY", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "add", gone)
        served.inspect(pictures[0])
    assert served.call("api/state").json["state"] == "red"
    served.station.look_after()
    assert served.call("api/state").json["state"] == "green"


def test_a_database_that_hangs_stops_neither_pictures_nor_figures(
    served: Served, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def hangs(self: Store, *given: object) -> None:
        go_on.wait(60)

    monkeypatch.setattr("understudy.station.recorder.LONGEST_WAIT", 0.1)
    with monkeypatch.context() as patch:
        for name in ("add", "find_clients", "count_waiting"):
            patch.setattr(Store, name, hangs)
        for id in ("a", "b"):
            (said,) = served.inspect(pictures[0], id=id).json["results"]
            assert not said["stored"]
            assert said["inspection"]["verdict"]
        assert b"understudy_storing 0.0" in served.call("metrics").body
        assert served.call("v2/health/live").status == 200
        go_on.set()


def test_a_stations_name_belongs_to_one_folder(served: Served, tmp_path: Path) -> None:
    database = served.station.options.database_url
    with pytest.raises(InputError, match="name its own --folder, or choose another --station"):
        Station(StationOptions(folder=tmp_path / "other", database=database), Inspector.load)
