"""A watched folder: each whole new picture is inspected once, in order, whatever happens to it."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import WorkError
from understudy.station import watch as watch_module
from understudy.station.watch import FolderWatch

SETTLE = 1.0


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Line:
    """A watched folder with a clock of its own, and what was inspected."""

    def __init__(self, place: Path) -> None:
        self.folder, self.memory, self.clock = place / "camera", place / "station" / "done", Clock()
        self.folder.mkdir()
        self.seen: list[tuple[str, bytes, str]] = []
        self.watches: list[FolderWatch] = []
        self.refusing: set[str] = set()
        self.watch = self.new()

    def new(self, **options: Any) -> FolderWatch:
        options = {"settle": SETTLE, "clock": self.clock, **options}
        self.watches.append(FolderWatch(self.folder, self.inspect, self.memory, **options))
        return self.watches[-1]

    def close(self) -> None:
        for watch in self.watches:
            watch.close()

    def inspect(self, name: str, data: bytes, client_id: str) -> bool:
        if name in self.refusing:
            return False
        self.seen.append((name, data, client_id))
        return True

    def write(self, name: str, data: bytes = b"picture", modified: float = 1e9) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (modified, modified))
        return path

    def looks(self, n: int = 1, seconds: float = SETTLE) -> None:
        """Look, let time go by, and look again, ``n`` times."""
        self.watch.look()
        for _ in range(n):
            self.clock.now += seconds
            self.watch.look()

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.seen]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def test_a_picture_is_inspected_once_with_its_bytes(line: Line) -> None:
    line.write("a.png", b"bytes")
    line.looks(3)
    assert [(name, data) for name, data, _ in line.seen] == [("a.png", b"bytes")]
    assert line.watch.status() == {"done": 1, "refused": 0, "failed": 0, "waiting": 0}
    assert (line.folder / "a.png").read_bytes() == b"bytes"


def test_a_picture_that_still_grows_is_left_alone(line: Line) -> None:
    for size in range(1, 5):
        line.write("a.png", b"x" * size)
        line.looks(seconds=0.9 * SETTLE)
    assert line.seen == []
    line.looks()
    assert [data for _, data, _ in line.seen] == [b"xxxx"]


def test_a_picture_whose_time_still_moves_is_left_alone(line: Line) -> None:
    for second in range(4):  # a camera that writes into a file of its final size
        line.write("a.png", modified=1e9 + second)
        line.looks(seconds=0.9 * SETTLE)
    assert line.seen == []


def test_a_picture_that_changes_while_it_is_read_is_read_again_when_it_is_whole(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.write("a.png", b"half")
    line.watch.look()
    line.clock.now += SETTLE
    opening = os.open

    def growing(path: Path, flags: int) -> int:
        line.write("a.png", b"all of it", modified=1e9 + 5)
        return opening(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(watch_module.os, "open", growing)
        line.watch.look()
    assert line.seen == []
    line.looks(2)
    assert [data for _, data, _ in line.seen] == [b"all of it"]


def test_a_picture_that_is_renamed_into_place_is_taken_at_once(line: Line) -> None:
    part = line.write("a.png.part")
    line.watch.look()
    part.rename(line.folder / "a.png")
    line.watch.look()
    assert line.names == ["a.png"]


def test_a_rename_just_after_the_last_write_waits_like_any_other(line: Line) -> None:
    line.write(".a.png")
    line.watch.look()
    line.write(".a.png", b"more").rename(line.folder / "a.png")
    line.watch.look()
    assert line.seen == []
    line.looks()
    assert line.names == ["a.png"]


def test_the_same_name_with_new_content_is_a_new_picture_with_another_id(line: Line) -> None:
    line.write("a.png", b"first")
    line.looks()
    line.write("a.png", b"other", modified=1e9 + 1)
    line.looks()
    assert [data for _, data, _ in line.seen] == [b"first", b"other"]
    assert len({id for _, _, id in line.seen}) == 2


def test_what_is_no_whole_picture_by_its_name_is_passed_over(line: Line) -> None:
    for name in (".a.png", "~a.png", "a.png.tmp", "a.png.part", "a.part.png", "a.tmp.png", "a.txt", "png"):
        line.write(name)
    line.write("empty.png", b"")
    line.write(".hidden/a.png")
    (line.folder / "folder.png").mkdir()
    os.mkfifo(line.folder / "pipe.png")
    secret = line.folder.parent / "secret.png"
    secret.write_bytes(b"secret")
    (line.folder / "link.png").symlink_to(secret)
    line.looks(2)
    assert line.seen == []
    assert line.watch.trouble is None


def test_subfolders_are_watched_and_names_begin_at_the_folder(line: Line) -> None:
    line.write("2026-11-30/cam 2/A.JPG")
    line.looks()
    assert line.names == ["2026-11-30/cam 2/A.JPG"]


def test_the_oldest_comes_first_and_names_decide_between_equals(line: Line) -> None:
    line.write("z.png", modified=1e9)
    line.write("c.png", modified=1e9 + 1)
    line.write("b.png", modified=1e9 + 1)
    line.write("a.png", modified=1e9 + 2)
    line.looks()
    assert line.names == ["z.png", "b.png", "c.png", "a.png"]


def test_a_name_that_is_no_unicode_is_inspected_under_a_name_that_is(line: Line) -> None:
    line.write(os.fsdecode(b"nut\xff.png"))
    line.looks()
    assert line.names == ["nut\\xff.png"]
    line.names[0].encode()


def test_two_folders_give_different_ids_to_files_that_look_alike(line: Line, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    other = Line(tmp_path / "second")
    for each in (line, other):
        each.write("a.png")
        each.looks()
    assert line.seen[0][2] != other.seen[0][2]
    other.close()


def test_a_restart_inspects_nothing_again_but_what_came_meanwhile(line: Line) -> None:
    line.write("a.png")
    line.looks()
    line.watch.close()
    line.write("b.png")
    line.watch = line.new()
    line.looks(2)
    assert line.names == ["a.png", "b.png"]


def test_after_a_kill_a_picture_is_inspected_at_most_twice_with_one_id(line: Line) -> None:
    line.write("a.png")
    line.looks()
    line.memory.unlink()  # the kill came before the line was written
    line.watch = line.new()
    line.looks(2)
    (first, second) = line.seen
    assert first == second


def test_a_picture_that_is_not_taken_is_tried_again_ever_more_rarely(line: Line) -> None:
    line.write("a.png")
    line.refusing = {"a.png"}
    tries = []
    for _ in range(100):
        line.looks(seconds=0.5)
        tries.append(line.watch.status()["failed"])
    assert tries[-1] == 6  # in 50 s: at 1, 2, 4, 8, 16 and 32 s
    assert line.watch.trouble == "a.png could not be inspected or kept; it is tried again"
    line.refusing = set()
    line.looks(seconds=31)
    assert line.names == ["a.png"]
    assert line.watch.trouble is None


def test_a_station_that_takes_nothing_for_a_day_is_still_asked(line: Line) -> None:
    line.refusing = {line.write(f"{n}.png").name for n in range(4)}
    line.looks(3000, seconds=31)
    assert line.watch.status()["failed"] > 3000
    line.refusing = set()
    line.looks(3, seconds=31)
    assert len(line.names) == 4


def test_one_picture_that_always_fails_does_not_stop_the_others(line: Line) -> None:
    line.refusing = {"a.png"}
    for name in "abcd":
        line.write(f"{name}.png")
    line.looks()
    assert line.names == ["b.png", "c.png", "d.png"]


def test_a_station_that_takes_nothing_is_not_asked_for_every_picture(line: Line) -> None:
    names = [f"{n:03}.png" for n in range(100)]
    line.refusing = {line.write(name).name for name in names}
    line.looks()
    assert line.watch.status() == {"done": 0, "refused": 0, "failed": 3, "waiting": 100}
    line.refusing = set()
    line.looks(3, seconds=31)
    assert sorted(line.names) == names


@pytest.mark.parametrize("error", [RuntimeError("the model is gone"), WorkError("the station is busy")])
def test_an_error_of_the_station_counts_as_not_taken(
    error: Exception, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, data: bytes, client_id: str) -> bool:
        raise error

    line.write("a.png")
    monkeypatch.setattr(line.watch, "_inspect", broken)
    line.looks()
    assert line.watch.status()["failed"] == 1
    monkeypatch.setattr(line.watch, "_inspect", line.inspect)
    line.looks(seconds=31)
    assert line.names == ["a.png"]


def test_an_unreadable_picture_is_named_and_tried_again_and_stops_no_other(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        line.write(name)
    opening = os.open

    def refuses(path: Path, flags: int) -> int:
        if path.name == "a.png":
            raise PermissionError(errno.EACCES, "Permission denied")
        return opening(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(watch_module.os, "open", refuses)
        line.looks()
    assert line.names == ["b.png"]
    assert line.watch.trouble == "a.png cannot be read: Permission denied; it is tried again"
    line.looks(seconds=31)
    assert line.names == ["b.png", "a.png"]


def test_a_file_that_is_too_large_is_counted_and_not_read(line: Line) -> None:
    line.watch = line.new(most_bytes=10)
    line.write("a.png", b"x" * 11)
    line.write("b.png", b"x" * 10)
    line.looks(3)
    assert line.names == ["b.png"]
    assert line.watch.status() == {"done": 1, "refused": 1, "failed": 0, "waiting": 0}


def test_a_picture_that_goes_away_is_forgotten(line: Line) -> None:
    line.write("a.png")
    line.watch.look()
    (line.folder / "a.png").unlink()
    line.looks()
    assert line.seen == []
    assert line.watch.status()["waiting"] == 0


def test_a_folder_that_vanishes_is_waited_for_and_nothing_is_done_twice(line: Line) -> None:
    line.write("a.png")
    line.looks()
    away = line.folder.rename(line.folder.with_name("away"))
    line.looks(2)
    assert line.watch.trouble == (
        "the watched folder cannot be read: No such file or directory; the station waits for it"
    )
    line.folder.mkdir()  # an empty mount point
    line.looks()
    shutil.rmtree(line.folder)
    away.rename(line.folder)
    line.write("b.png")
    line.looks(2)
    assert line.names == ["a.png", "b.png"]
    assert line.watch.trouble is None


def test_a_folder_that_is_not_there_yet_is_waited_for(line: Line) -> None:
    line.folder.rmdir()
    line.watch = line.new()
    line.looks()
    line.folder.mkdir()
    line.write("a.png")
    line.looks()
    assert line.names == ["a.png"]


def test_ten_thousand_pictures_are_inspected_once_in_order_and_looked_at_gently(tmp_path: Path) -> None:
    seen: list[str] = []

    def inspect(name: str, data: bytes, client_id: str) -> bool:
        seen.append(name)
        return True

    (tmp_path / "camera").mkdir()
    names = [f"{n:05}.png" for n in range(10_000)]
    for number, name in enumerate(names):
        path = tmp_path / "camera" / name
        path.write_bytes(b"x")
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    watch = FolderWatch(tmp_path / "camera", inspect, tmp_path / "done", settle=0.0)
    assert watch.look() == 10_000
    assert seen == names
    began = time.process_time()
    assert watch.look() == 0
    assert time.process_time() - began < 1.0
    again = FolderWatch(tmp_path / "camera", inspect, tmp_path / "done", settle=0.0)
    assert again.look() == 0
    for each in (watch, again):
        each.close()


def test_the_thread_takes_pictures_as_they_come_and_ends_when_asked(tmp_path: Path) -> None:
    arrived = threading.Event()

    def inspect(name: str, data: bytes, client_id: str) -> bool:
        arrived.set()
        return True

    watch = FolderWatch(tmp_path / "camera", inspect, tmp_path / "done", settle=0.05, every=0.02)
    watch.start()
    (tmp_path / "camera").mkdir()
    (tmp_path / "camera" / "a.png").write_bytes(b"picture")
    assert arrived.wait(10)
    watch.close(10)
    assert not watch._thread.is_alive()
    assert watch.status()["done"] == 1


def test_the_thread_outlives_an_error_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = FolderWatch(tmp_path, lambda *_: True, tmp_path / "done", every=0.01)
    looked, wild = threading.Event(), iter([ValueError("embedded null byte")])

    def files(folder: Path) -> list[object]:
        for error in wild:
            raise error
        looked.set()
        return []

    monkeypatch.setattr(watch_module, "_files", files)
    watch.start()
    assert looked.wait(10)
    watch.close(10)
    assert "could not be looked through" in caplog.text
