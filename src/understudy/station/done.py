"""Remembers across restarts which pictures of a watched folder are done, in a file of one id a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from understudy.errors import WorkError
from understudy.files import write_text

__all__ = ["DoneList"]

_ID = re.compile(r"[0-9a-f]{32}")


class DoneList:
    """Ids of what is done. The file only grows by whole lines; a half-written one is passed over.

    Args:
        file: where the ids are kept; it need not exist.
        spare: number of ids that are kept though nobody names them any more.

    Attributes:
        trouble: why the ids cannot be kept, as a sentence; ``None`` if they are.
    """

    def __init__(self, file: Path, spare: int = 50_000) -> None:
        self.trouble: str | None = None
        self._path, self._spare = file, spare
        self._ids: dict[str, None] = {}  # the oldest first
        with suppress(OSError):
            text = file.read_text(encoding="ascii", errors="replace")
            self._ids = dict.fromkeys(line for line in text.splitlines() if _ID.fullmatch(line))
        self._file: TextIO | None = None

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str) -> None:
        """Remember an id; it is in the file, though perhaps not yet on the disk, when this returns."""
        if id in self._ids:
            return
        self._ids[id] = None
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("a", encoding="ascii")
                self._file.write("\n")  # ends a line that a crash left half
            self._file.write(f"{id}\n")
            self._file.flush()
        except OSError as error:
            self.trouble = (
                f"what is done cannot be remembered: {error.strerror or error}; make room on the disk"
            )
            self.close()
        else:
            self.trouble = None

    def shorten(self, present: Iterable[str]) -> None:
        """Forget the oldest ids if there are too many; those that are present stay.

        Args:
            present: ids of files that are still there.
        """
        if len(self._ids) <= 2 * self._spare:
            return
        kept = set(present)
        gone = [id for id in self._ids if id not in kept]
        if len(gone) <= 2 * self._spare:
            return
        for id in gone[: -self._spare or None]:
            del self._ids[id]
        self.close()
        with suppress(WorkError, OSError):
            write_text(self._path, "".join(f"{id}\n" for id in self._ids))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
