"""Pictures and heat maps that the station keeps: files by day below its folder, within a budget of bytes.

Only files that an inspection of the store names are removed, the first stored first, and never those that
wait for review. A file that a stop left without an inspection stays where it is.
"""

from __future__ import annotations

import errno
import math
import os
import re
import threading
import time as clock
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from understudy.errors import InputError
from understudy.files import PART
from understudy.station.archive import Store, StoreError
from understudy.station.queries import Row
from understudy.types import Verdict

__all__ = ["Keeper"]

_KEPT = "kept"
_NAME = re.compile(
    rf"{_KEPT}/\d{{4}}-\d\d-\d\d/[0-9a-f]{{32}}(\.(png|jpg|bmp|tif|webp|picture)|-map\.(png|webp))"
)
_ID = re.compile(r"[0-9a-f]{32}")
_KINDS = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpg"), (b"BM", "bmp"), (b"II", "tif"), (b"MM", "tif"))
_ROOM = 0.95  # share of the budget that may be in use after room was made
_STEP = 200  # inspections that are looked at together
_UNNAMED = 86400.0  # seconds after which a file that no inspection names may go
_PATIENCE = 5.0  # seconds until room is looked for again after none was found


class Keeper:
    """Keeps files of pictures and heat maps. Threads may share it.

    Args:
        folder: folder of the station.
        store: store with the inspections of the files.
        every: how many PASS come to one that is kept; 0 keeps none of them.
        budget: largest number of bytes of all files.
        station: name of the station, if the store has inspections of others too.
        clean: remove files that a stop left unfinished; only for the one that keeps pictures in the folder.

    Attributes:
        trouble: why a picture was not kept, in one sentence; ``None`` if the last one was.
        station: name of the station; ``None`` if it has the store for itself.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        every: int = 20,
        budget: int = 20 * 2**30,
        station: str | None = None,
        clean: bool = False,
    ) -> None:
        if every < 0:
            raise InputError(f"one PASS in {every} cannot be kept; name 0 for none, or a number from 1")
        if budget < 0:
            raise InputError(f"the budget of the kept pictures is {budget} bytes; name a number from 0")
        self.trouble: str | None = None
        self.station = station
        self._folder, self._store = folder, store
        self._every, self._budget = every, budget
        self._lock, self._clearing = threading.Lock(), threading.Lock()
        self._passes = 0
        self._used = sum(_size(path) for path in _files(folder / _KEPT, clean))
        self._stuck: float | None = None

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return self._used

    def wants(self, verdict: Verdict | None) -> bool:
        """Tell whether the next picture with a verdict is to be kept: all but PASS, and one PASS in some."""
        if verdict != "PASS":
            return True
        with self._lock:
            self._passes += 1
            return bool(self._every) and self._passes % self._every == 0

    def keep(
        self, id: str, time: datetime, data: bytes, heatmap: bytes | None
    ) -> tuple[str | None, str | None]:
        """Write a picture and its heat map to disk.

        Args:
            id: id of the inspection.
            time: time of the inspection, which names the folder.
            data: bytes of the picture's file.
            heatmap: bytes of the heat map as PNG or WebP; ``None`` if there is none.

        Returns:
            Names of both for :meth:`path`; ``None`` for what could not be kept, as :attr:`trouble` says.
        """
        if not _ID.fullmatch(id):
            raise ValueError(f"the id of an inspection has 32 hexadecimal digits, got {id!r}")
        if not self._has_room(len(data) + len(heatmap or b"")):
            self.trouble = (
                f"pictures are not kept: those that wait for review fill the {_amount(self._budget)} for "
                "them; review some, or allow more"
            )
            return None, None
        day = time.astimezone(UTC).date().isoformat()
        picture = self._write(f"{_KEPT}/{day}/{id}.{_kind(data)}", data)
        if picture is None or heatmap is None:
            return picture, None
        suffix = "png" if _kind(heatmap) == "png" else "webp"
        return picture, self._write(f"{_KEPT}/{day}/{id}-map.{suffix}", heatmap)

    def _has_room(self, size: int) -> bool:
        if self._used + size <= self._budget:
            return True
        if self._stuck is None or clock.monotonic() - self._stuck > _PATIENCE:
            with suppress(StoreError):
                self._make_room(size)
        return self._used + size <= self._budget

    def _write(self, name: str, data: bytes) -> str | None:
        path = self._folder / name
        part = path.with_name(f"{PART}{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            before = _size(path)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _flush(path.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            way_out = "make room there" if full else "see to the disk of the station's folder"
            self.trouble = f"pictures are not kept: {error.strerror or 'their disk fails'}; {way_out}"
            return None
        with self._lock:
            self._used += len(data) - before
        self.trouble = None
        return name

    def path(self, name: str) -> Path | None:
        """Return the file of a kept picture or heat map; ``None`` if it is gone, or was never one."""
        path = self._folder / name if _NAME.fullmatch(name) else None
        with suppress(OSError):
            if path and path.is_file() and path.resolve().is_relative_to((self._folder / _KEPT).resolve()):
                return path
        return None

    def discard(self, *names: str | None) -> None:
        """Remove files that were just kept, and whose inspection was not stored or was a repeated one."""
        for name in names:
            if name:
                self._remove(name)

    def make_room(self) -> int:
        """Remove files until they are a little below the budget; return the bytes that were freed.

        Pictures that are PASS or reviewed go first, then those without any verdict. Those that wait for
        review stay.

        Raises:
            StoreError: the database cannot be read or written.
        """
        return self._make_room(0)

    def _make_room(self, size: int) -> int:
        with self._clearing:
            wanted = int(min(self._budget * _ROOM, self._budget - size))
            freed = self._clear(wanted, True) + self._clear(wanted, False)
            if self._used > wanted:
                freed += self._clear_unnamed()
            self._stuck = clock.monotonic() if self._used > wanted else None
            return freed

    def _clear(self, wanted: int, judged: bool) -> int:
        """Remove pictures, the first stored first, until no more than the wanted bytes are in use."""
        freed, after = 0, 0
        while self._used > wanted:
            rows = self._store.removable(self.station, judged=judged, after=after, limit=_STEP)
            if not rows:
                break
            after = rows[-1].sequence
            gone = []
            for row in rows:
                if self._used <= wanted:
                    break
                if bytes_of_row := sum(self._remove(name) for name in _names(row)):
                    gone.append(row.inspection.id)
                    freed += bytes_of_row
            if gone:
                self._store.forget_files(gone)
        return freed

    def _clear_unnamed(self) -> int:
        """Remove files that no inspection names: it could not be stored, and nobody sent it again."""
        before = clock.time() - _UNNAMED
        old = [path for path in _files(self._folder / _KEPT, clean=False) if _changed(path) < before]
        known = self._store.known({path.name[:32] for path in old})
        unnamed = [path for path in old if path.name[:32] not in known]
        return sum(self._remove(path.relative_to(self._folder).as_posix()) for path in unnamed)

    def _remove(self, name: str) -> int:
        """Remove a kept file, and the folder of its day if that is empty; return its bytes."""
        path = self.path(name)
        if path is None:
            return 0
        size = _size(path)
        try:
            path.unlink()
        except OSError:
            return 0
        with self._lock:
            self._used -= size
        with suppress(OSError):  # not empty
            path.parent.rmdir()
        return size


def _names(row: Row) -> Iterator[str]:
    yield from (name for name in (row.inspection.picture, row.inspection.heatmap) if name)


def _kind(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((kind for begin, kind in _KINDS if data.startswith(begin)), "picture")


def _files(top: Path, clean: bool) -> Iterator[Path]:
    """Yield the files of all days that have names of kept ones; remove unfinished ones if asked to."""
    for day in top.iterdir() if top.is_dir() else ():
        for path in day.iterdir() if day.is_dir() else ():
            if path.name.startswith(PART):
                if clean:
                    path.unlink(missing_ok=True)
            elif _NAME.fullmatch(f"{_KEPT}/{day.name}/{path.name}"):
                yield path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return math.inf


def _flush(folder: Path) -> None:
    """Have the names of a folder's files on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _amount(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"
