"""Watches a folder into which a camera writes pictures, and has each whole new picture inspected once."""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from understudy.errors import UnderstudyError
from understudy.runtime.images import PICTURE_SUFFIXES
from understudy.station.done import DoneList

__all__ = ["FolderWatch"]

_TEMPORARY_STARTS, _TEMPORARY_ENDS = (".", "~"), (".tmp", ".temp", ".part", ".partial")
_DEEPEST = 8  # levels of subfolders
_LONGEST_PAUSE = 30.0  # seconds
_IN_A_ROW = 3  # pictures that were not taken, after which the watch pauses
_BUSY = 9  # a look at the folder is followed by a rest of this many times its duration
_OPENING = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
)
_AGAIN = "it is tried again"
_log = logging.getLogger(__name__)


class _State(NamedTuple):
    """What tells two states of a file apart: its time in nanoseconds and its size in bytes."""

    modified: int
    size: int


class _Found(NamedTuple):
    """A file of the folder: name from the folder on, with slashes; ``file`` stays the same when renamed."""

    name: str
    state: _State
    file: tuple[int, int]
    is_temporary: bool


class _Pending:
    """A picture that is not done: when it was last seen to change, and when it is to be tried."""

    def __init__(self, state: _State, since: float) -> None:
        self.state, self.since, self.after = state, since, since
        self.tries, self.trouble = 0, ""

    def put_off(self, now: float, trouble: str) -> None:
        """Try again later, each time after twice the time."""
        self.tries, self.trouble = self.tries + 1, trouble
        self.after = now + _pause(self.tries)


class FolderWatch:
    """Has each picture of a folder and of its subfolders inspected, the oldest first.

    A picture is whole when its size and time have not changed for ``settle`` seconds, or when it was renamed
    from a hidden or temporary name, unchanged. New content under the same name is a new picture. Files that
    are hidden, temporary, empty, links, or no pictures by their suffix are passed over. No file is ever
    changed, moved or removed. After a crash the last picture may be inspected again, with the same client id.

    Args:
        folder: folder to watch. It may be absent; the watch waits for it.
        inspect: takes a picture's name from the folder on, its bytes and its client id. Returns whether it is
            done with: kept, or refused for good. If it is not, or if this raises, the picture is tried again.
        memory: file that holds what is done, across restarts.
        settle: seconds.
        every: seconds between two looks at the folder; more if it is so large that a look takes long.
        most_bytes: a larger file is not read; it counts as refused.
        clock: returns a time in seconds that never jumps.

    Attributes:
        trouble: what keeps pictures from being inspected, as a sentence; ``None`` if nothing does.
    """

    def __init__(
        self,
        folder: Path,
        inspect: Callable[[str, bytes, str], bool],
        memory: Path,
        *,
        settle: float = 1.0,
        every: float = 0.25,
        most_bytes: int = 100 * 2**20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: str | None = None
        self._folder, self._inspect, self._done = folder.absolute(), inspect, DoneList(memory)
        self._settle, self._every, self._most_bytes, self._clock = settle, every, most_bytes, clock
        self._known: dict[str, tuple[_State, str]] = {}  # done and still there; with the client id
        self._pending: dict[str, _Pending] = {}
        self._temporary: dict[tuple[int, int], _State] = {}
        self._counts = Counter({"done": 0, "refused": 0, "failed": 0})
        self._pauses, self._rest = 0, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="understudy-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch, on a thread of its own."""
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Stop after the picture at hand, for which it waits at most ``seconds``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive():
            self._done.close()

    def status(self) -> dict[str, int]:
        """Return the numbers of pictures done, refused as too large, failed tries, and pictures waiting."""
        return {**self._counts, "waiting": len(self._pending)}

    def look(self) -> int:
        """Look at the folder once, have the whole pictures inspected, and return how many are done."""
        began = self._clock()
        try:
            found = _files(self._folder)
        except OSError as error:
            self.trouble = f"the watched folder cannot be read: {error.strerror}; the station waits for it"
            self._rest = max(self._every, 1.0)
            return 0
        ready = self._whole([each for each in found if not each.is_temporary])
        self._temporary = {each.file: each.state for each in found if each.is_temporary and each.file[1]}
        self._rest = max(self._every, _BUSY * (self._clock() - began))
        done = self._inspect_all(ready)
        troubles = (each.trouble for each in list(self._pending.values()) if each.trouble)
        self.trouble = next(troubles, self._done.trouble)
        return done

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # the watch outlives whatever a file system does
                _log.exception("the watched folder could not be looked through")
                self.trouble = f"the watched folder could not be looked through: {type(error).__name__}"
            self._stop.wait(self._rest)

    def _whole(self, found: list[_Found]) -> list[_Found]:
        """Return the pictures that are to be inspected now, the oldest first; update what is known."""
        now, ready = self._clock(), []
        known, pending = self._known, self._pending
        self._known, self._pending = {}, {}
        for each in found:
            if (old := known.get(each.name)) is not None and old[0] == each.state:
                self._known[each.name] = old
                continue
            waits = pending.get(each.name)
            if waits is None or waits.state != each.state:
                if (id := self._client_id(each)) in self._done:
                    self._known[each.name] = (each.state, id)
                    continue
                is_renamed = self._temporary.get(each.file) == each.state
                waits = _Pending(each.state, now - self._settle if is_renamed else now)
            self._pending[each.name] = waits
            if now - waits.since >= self._settle and now >= waits.after:
                ready.append(each)
        self._done.shorten(id for _, id in self._known.values())
        return sorted(ready, key=lambda each: (each.state.modified, each.name))

    def _inspect_all(self, ready: list[_Found]) -> int:
        done = in_a_row = 0
        for each in ready:
            if self._stop.is_set():
                break
            taken = self._inspect_one(each)
            done += taken is True
            in_a_row = in_a_row + 1 if taken is False else 0
            self._pauses = 0 if taken else self._pauses
            if in_a_row == _IN_A_ROW:  # the station is busy or cannot keep records
                self._pauses += 1
                self._rest = max(self._rest, _pause(self._pauses))
                break
        return done

    def _inspect_one(self, found: _Found) -> bool | None:
        """Return whether a picture was taken; ``None`` if it could not be read or is too large."""
        waits, name = self._pending[found.name], _shown(found.name)
        if found.state.size > self._most_bytes:
            _log.warning("%s in the watched folder is too large: %d bytes", name, found.state.size)
            self._settle_one(found, "refused")
            return None
        try:
            data = _read(self._folder / found.name, found.state)
        except FileNotFoundError:
            del self._pending[found.name]
            return None
        except OSError as error:
            waits.put_off(self._clock(), f"{name} cannot be read: {error.strerror}; {_AGAIN}")
            return None
        if data is None:  # it has changed meanwhile
            waits.since = self._clock()
            return None
        try:
            taken = self._inspect(name, data, self._client_id(found))
        except UnderstudyError as error:  # such as a station that is busy
            _log.warning("%s could not be inspected: %s", name, error)
            taken = False
        except Exception:
            _log.exception("%s could not be inspected", name)
            taken = False
        if taken:
            self._settle_one(found, "done")
        else:
            self._counts["failed"] += 1
            waits.put_off(self._clock(), f"{name} could not be inspected or kept; {_AGAIN}")
        return taken

    def _settle_one(self, found: _Found, outcome: str) -> None:
        self._counts[outcome] += 1
        id = self._client_id(found)
        self._done.add(id)
        self._known[found.name] = (found.state, id)
        del self._pending[found.name]

    def _client_id(self, found: _Found) -> str:
        path = os.fsencode(self._folder / found.name)
        text = b"\0".join((path, b"%d" % found.state.modified, b"%d" % found.state.size))
        return blake2b(text, digest_size=16).hexdigest()


def _pause(tries: int) -> float:
    """Return the seconds before another try: 1, 2, 4 and so on."""
    return min(0.5 * 2.0 ** min(tries, 10), _LONGEST_PAUSE)


def _shown(name: str) -> str:
    """Return a name as text that any program can take."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _files(folder: Path) -> list[_Found]:
    """Return all files below a folder that have content and are pictures, or may become some.

    Raises:
        OSError: the folder itself cannot be read.
    """
    found: list[_Found] = []
    folders = [("", 0)]
    while folders:
        below, depth = folders.pop()
        try:
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    is_temporary = entry.name.startswith(_TEMPORARY_STARTS)
                    with suppress(OSError):  # gone by now
                        if entry.is_dir(follow_symlinks=False):
                            if depth < _DEEPEST and not is_temporary:
                                folders.append((f"{below}{entry.name}/", depth + 1))
                        elif (named := _named(below, entry, is_temporary)) is not None:
                            found.append(named)
        except OSError:
            if not below:
                raise
    return found


def _named(below: str, entry: os.DirEntry[str], is_temporary: bool) -> _Found | None:
    """Return a file as it was found; ``None`` if it is no regular file, empty, or no picture by its name."""
    stem, dot, suffix = entry.name.lower().rpartition(".")
    suffix = dot + suffix
    is_temporary = is_temporary or suffix in _TEMPORARY_ENDS or stem.endswith(_TEMPORARY_ENDS)
    if not is_temporary and suffix not in PICTURE_SUFFIXES:
        return None
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    state = _State(status.st_mtime_ns, status.st_size)
    return _Found(below + entry.name, state, (status.st_dev, status.st_ino), is_temporary)


def _read(path: Path, state: _State) -> bytes | None:
    """Return the bytes of a file; ``None`` if it was not in this state all the time."""
    with os.fdopen(os.open(path, _OPENING), "rb") as file:
        before = os.fstat(file.fileno())
        data = file.read(state.size + 1) if stat.S_ISREG(before.st_mode) else b""
        after = os.fstat(file.fileno())
    states = {_State(each.st_mtime_ns, each.st_size) for each in (before, after)}
    return data if states == {state} and len(data) == state.size else None
