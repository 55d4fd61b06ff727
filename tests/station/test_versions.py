"""Versions of a model: copied, compared, put in force, rolled back; no call is lost on the way."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from serving import Served, serving

from understudy.errors import BundleError, InputError, WorkError
from understudy.folders import read_sealed, write_sealed
from understudy.runtime.inspector import Inspector
from understudy.station.archive import Store, StoreError
from understudy.station.versions import Comparison, Versions, copied, name_of


@pytest.fixture(scope="module")
def pictures(factory: Path) -> list[Path]:
    return sorted(factory.glob("*/test/*/*.png"))[:6]


def test_the_station_judges_by_its_own_copy(served: Served, exported: Path, pictures: list[Path]) -> None:
    folder = served.station.versions.current.folder
    assert folder.parent == served.station.options.folder / "models"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        p.name for p in exported.iterdir() if not p.name.startswith(".understudy")
    )


def test_a_new_version_takes_over_and_rolls_back(served: Served, other: Path, pictures: list[Path]) -> None:
    served.inspect(*pictures)
    said = served.post("api/model", {"folder": str(other), "who": "Ada"})
    assert said.json["version"] == 2
    assert said.json["comparison"] == {
        "pictures": len(pictures),
        "changed": 0,
        "failed": 0,
        "score_change": pytest.approx(0, abs=1e-4),
        "lost": [],
    }
    assert served.inspect(pictures[0]).json["results"][0]["inspection"]["version"] == 2
    assert served.post("api/model/rollback", {"who": "Ada"}).json == {"version": 1}
    assert served.inspect(pictures[0]).json["results"][0]["inspection"]["version"] == 1
    assert [c["action"] for c in served.call("api/changes").json["changes"]] == ["roll back", "model"]
    assert served.post("api/model", {"folder": str(other)}).json["version"] == 2  # keeps its number


def test_a_restart_goes_on_with_the_version_in_force(
    exported: Path, other: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    with serving(exported, tmp_path / "s") as served:
        served.post("api/model", {"folder": str(other)})
    shutil.rmtree(other)  # the station has its own copy
    with serving(None, tmp_path / "s") as served:
        assert served.inspect(pictures[0]).json["results"][0]["inspection"]["version"] == 2
        assert served.post("api/model/rollback", {}).json == {"version": 1}
        assert served.call("api/state").json["reasons"] == []  # nothing advises the version that was left
    with serving(None, tmp_path / "s") as served:
        assert served.post("api/model/rollback", {}).json == {"version": 2}


def test_a_repeated_roll_back_changes_nothing_more(served: Served, other: Path) -> None:
    served.post("api/model", {"folder": str(other)})
    assert served.post("api/model/rollback", {"version": 2}).json == {"version": 1}
    again = served.post("api/model/rollback", {"version": 2})
    assert (again.status, again.error) == (409, "version 2 is not in force any more; version 1 is")


def test_a_change_that_cannot_be_kept_is_not_made(
    served: Served, other: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Store, key: str, value: object) -> None:
        raise StoreError("the database cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "set_value", gone)
        assert served.post("api/model", {"folder": str(other)}).status == 503
        assert served.post("api/thresholds", {"review_above": -9, "fail_above": -8}).status == 503
    record = served.inspect(pictures[0]).json["results"][0]["inspection"]
    assert record["version"] == 1
    assert record["fail_above"] > -8


def test_the_station_answers_while_a_model_is_opened(
    served: Served, other: Path, pictures: list[Path]
) -> None:
    versions = served.station.versions
    opening, go_on = threading.Event(), threading.Event()
    opener = versions._opener

    def slow(folder: Path, threads: int | None = None) -> Inspector:
        opening.set()
        go_on.wait(60)
        return opener(folder, threads)

    versions._opener = slow
    swap = threading.Thread(target=served.post, args=("api/model", {"folder": str(other)}))
    swap.start()
    assert opening.wait(60)
    assert served.call("api/model").json["version"] == 1
    assert served.call("v2/health/live").status == 200
    assert served.inspect(pictures[0]).status == 200
    go_on.set()
    swap.join()
    assert served.call("api/model").json["version"] == 2


def test_no_call_is_lost_while_versions_change(served: Served, other: Path, pictures: list[Path]) -> None:
    stop = threading.Event()
    answers: list[tuple[int, int]] = []

    def client() -> None:
        while not stop.is_set():
            answer = served.inspect(pictures[len(answers) % len(pictures)])
            answers.append((answer.status, answer.json["results"][0]["inspection"]["version"]))

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        assert served.post("api/model", {"folder": str(other)}).status == 200
        assert served.post("api/model/rollback", {}).status == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers} == {200}
    assert served.call("api/inspections?limit=500").json["rows"][-1] is not None
    assert served.call("metrics").body.decode().count(f'stored="true"}} {len(answers)}.0') == 1


def test_damaged_models_are_refused_and_the_old_one_stays(
    served: Served, other: Path, pictures: list[Path], tmp_path: Path
) -> None:
    graph = other / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    for folder in (other, tmp_path / "nothing", tmp_path):
        answer = served.post("api/model", {"folder": str(folder)})
        assert answer.status == 422, answer.body
    assert served.inspect(pictures[0]).json["results"][0]["inspection"]["version"] == 1
    assert len(list((served.station.options.folder / "models").iterdir())) == 1


def test_a_changed_source_is_said_and_not_used(served: Served, exported: Path, tmp_path: Path) -> None:
    station = served.station
    moved = shutil.copytree(exported, tmp_path / "source")
    station.control._source = moved
    station.look_after()
    assert station.remarks == []
    content = read_sealed(moved / "manifest.json")
    assert content is not None
    content["training"]["seconds"] += 2
    write_sealed(moved / "manifest.json", content)
    station.look_after()
    state = served.call("api/state").json
    assert (state["state"], state["reasons"]) == (
        "yellow",
        ["The model's folder holds another version now; load it to use it."],
    )


def test_a_copy_that_somebody_changed_is_not_opened(exported: Path, tmp_path: Path) -> None:
    versions = Versions(tmp_path, Inspector.load)
    loaded = versions.prepare(exported)
    kept = versions.planned(loaded)
    versions.take_over(loaded)
    content = read_sealed(loaded.folder / "manifest.json")
    assert content is not None
    write_sealed(loaded.folder / "manifest.json", {**content, "method": "other"})
    again = Versions(tmp_path, Inspector.load, kept)
    with pytest.raises(BundleError, match="version 1 of the model was changed"):
        again.reopen(1)
    with pytest.raises(WorkError, match="not the copy that the station wrote; move it away"):
        copied(exported, tmp_path / "models")


def test_a_roll_back_needs_a_version_before(exported: Path, tmp_path: Path) -> None:
    versions = Versions(tmp_path, Inspector.load)
    versions.take_over(versions.prepare(exported))
    with pytest.raises(InputError, match="no version to roll back to"):
        versions.previous()
    with pytest.raises(InputError, match="there is no version 7"):
        versions.reopen(7)


@pytest.mark.parametrize(
    ("comparison", "reason"),
    [
        (Comparison(20, 2, 0, 0.1, ()), None),
        (Comparison(0, 0, 0, None, ()), None),
        (Comparison(20, 3, 0, 0.1, ()), "it gives 3 of 20 kept pictures another verdict"),
        (Comparison(20, 0, 1, 0.1, ()), "it cannot judge 1 of 20 kept pictures"),
        (Comparison(20, 0, 0, 0.1, ("nut",)), "it does not know nut"),
    ],
)
def test_a_version_that_differs_much_does_not_take_over(comparison: Comparison, reason: str | None) -> None:
    assert comparison.refused == reason


def test_a_version_that_does_not_know_a_product_needs_force(
    served: Served, other: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.station.versions.MOST_CHANGED", -1)
    served.inspect(*pictures)
    answer = served.post("api/model", {"folder": str(other)})
    assert answer.status == 409
    assert "was not put in force: it gives 0 of 6 kept pictures another verdict" in answer.error
    assert served.call("api/model").json["version"] == 1
    assert served.post("api/model", {"folder": str(other), "force": True}).json["version"] == 2


@pytest.mark.parametrize(
    ("folder", "name"), [("line 3", "line-3"), ("größe", "gr--e"), (".hidden", "hidden"), ("...", "model")]
)
def test_a_model_is_named_by_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert name_of(tmp_path / folder) == name


def test_opening_fails_before_anything_is_copied(tmp_path: Path, exported: Path) -> None:
    def broken(folder: Path, threads: int | None = None) -> Inspector:
        raise BundleError("no")

    with pytest.raises(BundleError):
        Versions(tmp_path, broken).prepare(exported)
    assert not (tmp_path / "models").exists()


def test_a_lane_says_what_all_cores_say_and_has_the_thresholds_in_force(
    tmp_path: Path, exported: Path, pictures: list[Path]
) -> None:
    loaded = Versions(tmp_path, Inspector.load, lanes=True).prepare(exported)
    calibration = loaded.own
    assert calibration is not None
    assert loaded.lane is not None
    changed = loaded.with_calibration(calibration.model_copy(update={"min_area": 10_000}))
    assert changed.lane is not None
    assert changed.lane.calibration == changed.inspector.calibration != loaded.lane.calibration
    for picture in pictures:
        (wide,), (lane,) = loaded.inspector.predict([picture]), loaded.lane.predict([picture])
        assert (lane.verdict, lane.category) == (wide.verdict, wide.category)
        assert lane.score == pytest.approx(wide.score, abs=1e-4)


def test_nobody_asks_for_lanes_unless_told(tmp_path: Path, exported: Path) -> None:
    assert Versions(tmp_path, Inspector.load).prepare(exported).lane is None
