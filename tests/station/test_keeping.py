"""Pictures are kept on disk within a budget; what waits for review stays, and so do files of others."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from understudy.errors import InputError
from understudy.station.archive import Store, StoreError
from understudy.station.inspection import InspectionRecord, Review
from understudy.station.keeping import Keeper

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
PNG, WEBP = b"\x89PNG" + bytes(996), b"RIFF....WEBP" + bytes(488)
Make = Callable[..., InspectionRecord]
Kept = Callable[..., InspectionRecord]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "station"


@pytest.fixture
def keeper(folder: Path, sqlite_store: Store) -> Keeper:
    return Keeper(folder, sqlite_store, budget=4000)


@pytest.fixture
def kept(keeper: Keeper, sqlite_store: Store, inspection: Make) -> Kept:
    """Keep a picture of 1000 bytes and store its inspection."""

    def make(heatmap: bytes | None = None, **given: object) -> InspectionRecord:
        record = inspection(**given)
        picture, shown = keeper.keep(record.id, record.time, PNG, heatmap)
        return sqlite_store.add([record.model_copy(update={"picture": picture, "heatmap": shown})])[0]

    return make


def _left(folder: Path) -> set[str]:
    return {path.name.split(".")[0] for path in folder.rglob("*") if path.is_file()}


def test_a_picture_and_its_map_lie_in_the_folder_of_the_day_in_utc(keeper: Keeper, folder: Path) -> None:
    west = datetime(2026, 3, 4, 23, tzinfo=timezone(timedelta(hours=-5)))
    names = keeper.keep("a" * 32, west, PNG, WEBP)
    assert names == (f"kept/2026-03-05/{'a' * 32}.png", f"kept/2026-03-05/{'a' * 32}-map.webp")
    assert [keeper.path(name or "").read_bytes() for name in names] == [PNG, WEBP]  # type: ignore[union-attr]
    assert keeper.trouble is None
    assert keeper.used == 1500
    assert Keeper(folder, keeper._store).used == 1500


@pytest.mark.parametrize(
    ("begin", "suffix"),
    [
        (b"\xff\xd8\xff", "jpg"),
        (b"BM", "bmp"),
        (b"II*\0", "tif"),
        (b"MM\0*", "tif"),
        (b"P6", "picture"),
        (b"", "picture"),
    ],
)
def test_a_file_is_named_by_its_content(keeper: Keeper, begin: bytes, suffix: str) -> None:
    name, _ = keeper.keep("b" * 32, NOON, begin, None)
    assert name is not None
    assert name.endswith(f".{suffix}")
    assert keeper.path(name) is not None


def test_all_but_pass_are_wanted_and_one_pass_in_some(sqlite_store: Store, folder: Path) -> None:
    keeper = Keeper(folder, sqlite_store, every=3)
    assert [keeper.wants(verdict) for verdict in ("FAIL", "REVIEW", None)] == [True] * 3
    assert [keeper.wants("PASS") for _ in range(7)] == [False, False, True, False, False, True, False]
    assert not any(Keeper(folder, sqlite_store, every=0).wants("PASS") for _ in range(50))


@pytest.mark.parametrize("wrong", [{"every": -1}, {"budget": -1}])
def test_numbers_out_of_range_are_refused(sqlite_store: Store, folder: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Keeper(folder, sqlite_store, **wrong)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../station.db",
        "station.db",
        f"kept/2026-03-04/../../{'a' * 32}.png",
        f"kept/2026-03-04/{'a' * 31}.png",
        f"kept/2026-03-04/{'a' * 32}.png\n",
        f"kept/2026-03-04/{'a' * 32}.db",
        f"kept/2026-03-04/{'f' * 32}.png",
    ],
)
def test_other_names_and_absent_files_have_no_path(keeper: Keeper, folder: Path, name: str) -> None:
    (folder / "station.db").parent.mkdir(parents=True)
    (folder / "station.db").touch()
    assert keeper.path(name) is None


def test_a_link_out_of_the_folder_has_no_path(keeper: Keeper, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    link = folder / "kept" / "2026-03-04" / f"{'a' * 32}.png"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "secret")
    assert keeper.path(f"kept/2026-03-04/{'a' * 32}.png") is None


def test_an_id_that_is_none_is_refused(keeper: Keeper) -> None:
    with pytest.raises(ValueError, match="32 hexadecimal"):
        keeper.keep("../../x", NOON, PNG, None)


def test_the_first_stored_go_first_and_their_records_know(
    keeper: Keeper, kept: Kept, sqlite_store: Store, folder: Path
) -> None:
    """The clock jumps back in between: the order is that of storing."""
    times = [NOON + timedelta(days=2), NOON - timedelta(days=9), NOON + timedelta(days=1), NOON, NOON]
    records = [kept(time=time) for time in times]
    assert keeper.used == 4000
    assert _left(folder / "kept") == {record.id for record in records[1:]}
    forgotten = sqlite_store.get(records[0].id)
    assert forgotten is not None
    assert (forgotten.picture, forgotten.heatmap) == (None, None)
    assert sqlite_store.get(records[1].id) == records[1]
    assert not (folder / "kept" / "2026-03-06").exists()
    assert keeper.make_room() == 1000
    assert _left(folder / "kept") == {record.id for record in records[2:]}


def test_reviewed_and_pass_go_before_those_without_verdict_and_waiting_ones_stay(
    keeper: Keeper, kept: Kept, sqlite_store: Store, folder: Path
) -> None:
    waiting, unjudged = kept(verdict="FAIL"), kept(verdict=None)
    reviewed, passed = kept(verdict="REVIEW"), kept()
    sqlite_store.add_review(Review(inspection=reviewed.id, time=NOON, who="Ada", answer="good"))
    more = [kept(verdict="FAIL").id]
    assert _left(folder / "kept") == {waiting.id, unjudged.id, passed.id, *more}
    more.append(kept(verdict="FAIL").id)
    assert _left(folder / "kept") == {waiting.id, unjudged.id, *more}
    more.append(kept(verdict="FAIL").id)
    assert _left(folder / "kept") == {waiting.id, *more}


def test_the_budget_holds_when_all_wait_for_review_and_says_so(
    keeper: Keeper, kept: Kept, sqlite_store: Store, folder: Path
) -> None:
    waiting = [kept(verdict="FAIL") for _ in range(4)]
    assert keeper.trouble is None
    lost = kept(verdict="FAIL")
    assert lost.picture is None
    assert keeper.trouble is not None
    assert "wait for review" in keeper.trouble
    assert str(folder) not in keeper.trouble
    assert _left(folder / "kept") == {record.id for record in waiting}
    sqlite_store.add_review(Review(inspection=waiting[0].id, time=NOON, who="Ada", answer="good"))
    assert keeper.make_room() == 1000
    assert kept(verdict="FAIL").picture is not None
    assert keeper.trouble is None


def test_making_room_touches_no_file_that_no_inspection_names(
    keeper: Keeper, kept: Kept, folder: Path, sqlite_store: Store
) -> None:
    day = folder / "kept" / "2026-03-04"
    day.mkdir(parents=True)
    own = [day / "notes.txt", day / f"{'e' * 32}.png", folder / "kept" / "mine.png", folder / "mine.png"]
    for path in own:
        path.write_bytes(b"x" * 900)
    for _ in range(9):
        kept()
    Keeper(folder, sqlite_store, budget=0).make_room()
    assert all(path.read_bytes() == b"x" * 900 for path in own)
    assert _left(day) == {"notes", "e" * 32}


def test_unfinished_files_of_a_stop_are_removed(keeper: Keeper, folder: Path, sqlite_store: Store) -> None:
    keeper.keep("a" * 32, NOON, PNG, None)
    part = folder / "kept" / "2026-03-04" / f".understudy-part-{'b' * 32}.png"
    part.write_bytes(b"half")
    assert Keeper(folder, sqlite_store).used == 1000
    assert part.exists()  # another process may be writing it
    assert Keeper(folder, sqlite_store, clean=True).used == 1000
    assert not part.exists()


def test_files_that_no_inspection_names_go_after_a_day(
    keeper: Keeper, folder: Path, sqlite_store: Store
) -> None:
    keeper.keep("a" * 32, NOON, PNG, None)
    (kept,) = (folder / "kept" / "2026-03-04").iterdir()
    small = Keeper(folder, sqlite_store, budget=500)
    assert small.make_room() == 0
    assert kept.exists()  # it may be sent again, and then it has an inspection
    os.utime(kept, (0, 0))
    assert small.make_room() == 1000
    assert not kept.exists()


def test_stations_that_share_a_database_leave_each_others_pictures(
    tmp_path: Path, sqlite_store: Store, inspection: Make
) -> None:
    keepers = {name: Keeper(tmp_path / name, sqlite_store, budget=1000, station=name) for name in ("a", "b")}
    for _ in range(2):
        for name, keeper in keepers.items():
            record = inspection(station=name)
            picture, _ = keeper.keep(record.id, record.time, PNG, None)
            sqlite_store.add([record.model_copy(update={"picture": picture})])
    assert [keeper.used for keeper in keepers.values()] == [1000, 1000]
    for name in keepers:
        rows = sqlite_store.removable(name, judged=True)
        assert [keepers[name].path(row.inspection.picture or "") is not None for row in rows] == [True]


def test_what_was_not_stored_is_discarded(keeper: Keeper, folder: Path) -> None:
    keeper.discard(*keeper.keep("a" * 32, NOON, PNG, WEBP))
    keeper.discard(None, "../../etc/passwd")
    assert keeper.used == 0
    assert _left(folder) == set()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_told_and_leaves_nothing_half_written(
    keeper: Keeper, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fails(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        assert keeper.keep("a" * 32, NOON, PNG, WEBP) == (None, None)
    assert keeper.trouble is not None
    assert str(folder) not in keeper.trouble
    assert ("make room" in keeper.trouble) == (code == errno.ENOSPC)
    assert _left(folder) == set()
    assert None not in keeper.keep("a" * 32, NOON, PNG, WEBP)
    assert keeper.trouble is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_told_and_what_was_kept_is_whole(small_disk: Path, sqlite_store: Store) -> None:
    keeper = Keeper(small_disk, sqlite_store)
    data = PNG * 60
    kept = [keeper.keep(f"{n:032x}", NOON, data, None)[0] for n in range(10)]
    assert kept[0] is not None
    assert kept[-1] is None
    assert "make room there" in (keeper.trouble or "")
    whole = [name for name in kept if name]
    assert all((small_disk / name).read_bytes() == data for name in whole)
    assert len(_left(small_disk)) == len(whole)
    assert keeper.used == len(whole) * len(data)


def test_a_lost_database_does_not_stop_keeping_within_the_budget(
    keeper: Keeper, kept: Kept, sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise StoreError("the database cannot be reached")

    kept()
    monkeypatch.setattr(sqlite_store, "removable", gone)
    assert keeper.keep("a" * 32, NOON, PNG, None)[0] is not None
    assert keeper.keep("b" * 32, NOON, PNG * 3, None) == (None, None)
    with pytest.raises(StoreError):
        Keeper(keeper._folder, sqlite_store, budget=0).make_room()
