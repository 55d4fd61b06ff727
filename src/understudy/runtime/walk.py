"""A folder -> the pictures in it and in its subfolders, and what was passed over on the way.

Linked folders are followed. Every folder is read once, at its own place if it has one below the root.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from understudy.errors import InputError
from understudy.folders import BEGUN, RESULTS
from understudy.runtime.images import PICTURE_SUFFIXES

__all__ = ["LeftOut", "PictureFolder", "exists", "find_pictures", "read_folders"]


class LeftOut(NamedTuple):
    """Files or a folder that are not used, and why.

    Attributes:
        folder: folder of the files, or the folder itself.
        files: number of files; 0 if the folder was not entered.
        reason: why they are not used.
    """

    folder: Path
    files: int
    reason: str


@dataclass
class PictureFolder:
    """A folder, read.

    Attributes:
        path: the folder.
        pictures: picture files in it, sorted.
        others: names of the files that are no pictures by their suffix, sorted; hidden ones are not among
            them.
        folders: subfolders, sorted; hidden ones are not among them.
    """

    path: Path
    pictures: list[Path] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    folders: list[PictureFolder] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    def every(self) -> Iterator[PictureFolder]:
        """Yield the folder and all folders below it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += folder.folders

    def all_pictures(self) -> list[Path]:
        """Return the pictures of the folder and of all folders below it, sorted."""
        return sorted(path for folder in self.every() for path in folder.pictures)

    def has_pictures(self) -> bool:
        """Tell whether there is a picture in the folder or below it."""
        return any(folder.pictures for folder in self.every())


def find_pictures(path: str | Path) -> list[Path]:
    """Return all pictures in a folder and its subfolders, sorted by path; for a file, the file itself.

    Args:
        path: picture, or folder; hidden files and hidden subfolders are passed over.

    Raises:
        InputError: the path is empty, does not exist or is no regular file, or a folder cannot be read.
    """
    if not str(path).strip():
        raise InputError("a picture or a folder has no name; is a shell variable unset?")
    path = Path(path)
    if not exists(path):
        raise InputError(f"{path} does not exist; name a picture or a folder of pictures")
    if path.is_dir():
        return read_folders(path, skip_unreadable=False)[0].all_pictures()
    if not path.is_file():
        raise InputError(f"{path} is no regular file; name a picture or a folder of pictures")
    return [path]


def exists(path: Path) -> bool:
    """Tell whether a path exists.

    Raises:
        InputError: it cannot be looked up, as a name that is too long for the file system.
    """
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be looked up: {error.strerror or error}; rename it") from error


def read_folders(root: Path, *, skip_unreadable: bool) -> tuple[PictureFolder, list[LeftOut]]:
    """Read a folder and all its subfolders.

    Args:
        root: the folder.
        skip_unreadable: leave out a subfolder that cannot be read, or raise.

    Returns:
        The folder, and what was passed over: hidden pictures and folders, models, folders that cannot be
        read, links that lead back or nowhere, and what has a picture's name and is no regular file.

    Raises:
        InputError: the folder cannot be read; or a subfolder cannot, and is not to be left out.
    """
    top = PictureFolder(root)
    whole, seen = os.path.realpath(root), set[str]()
    left_out: list[LeftOut] = []
    plain, links = (
        deque[tuple[PictureFolder | None, PictureFolder]]([(None, top)]),
        deque[tuple[PictureFolder | None, PictureFolder]](),
    )
    while plain or links:
        parent, folder = (plain or links).popleft()
        real = os.path.realpath(folder.path)
        if real in seen:
            left_out.append(LeftOut(folder.path, 0, "link to a folder that is read already"))
            continue
        if parent and Path(whole).is_relative_to(real):
            left_out.append(LeftOut(folder.path, 0, "link to a folder that it lies in"))
            continue
        seen.add(real)
        try:
            entries = _entries(folder.path)
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            if parent is None or not skip_unreadable:
                raise InputError(f"{folder.path} {reason}; make it readable, or move it away") from error
            left_out.append(LeftOut(folder.path, 0, reason))
            continue
        if parent and (what := _ours(entries)):
            left_out.append(LeftOut(folder.path, 0, what))
            continue
        if parent:
            parent.folders.append(folder)
        for name, kind in _sort_in(folder, entries, left_out):
            (links if kind == "link" else plain).append((folder, PictureFolder(folder.path / name)))
    for folder in top.every():
        folder.folders.sort(key=lambda f: f.path)
    return top, left_out


Kind = Literal["file", "folder", "link", "nothing", "special"]


def _entries(folder: Path) -> list[tuple[str, Kind]]:
    """Return the name and the kind of all that is in a folder, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, _kind(entry)) for entry in entries)


def _kind(entry: os.DirEntry[str]) -> Kind:
    try:
        if entry.is_dir():
            return "link" if entry.is_symlink() else "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link that leads to itself
        return "nothing"
    return "nothing" if entry.is_symlink() else "special"


def _ours(entries: list[tuple[str, Kind]]) -> str | None:
    """Return what a folder is that we wrote, and whose heat maps or masks are no pictures of a product."""
    names = {name for name, _ in entries}
    if "manifest.json" in names and not _WEIGHTS.isdisjoint(names):
        return "folder of a model"
    return None if names.isdisjoint({RESULTS, BEGUN}) else "folder of results"


_WEIGHTS = {"student.safetensors", "model.onnx", "model.xml"}
_NO_FILE: dict[Kind, str] = {"nothing": "link that leads nowhere", "special": "no regular file"}


def _sort_in(
    folder: PictureFolder, entries: list[tuple[str, Kind]], left_out: list[LeftOut]
) -> Iterator[tuple[str, Kind]]:
    """Put the files where they belong, and yield the subfolders that are to be read."""
    passed: Counter[str] = Counter()
    for name, kind in entries:
        is_picture = Path(name).suffix.lower() in PICTURE_SUFFIXES
        if kind in ("folder", "link"):
            if name.startswith("."):
                left_out.append(LeftOut(folder.path / name, 0, "hidden folder"))
            else:
                yield name, kind
        elif name.startswith("."):
            passed["hidden pictures"] += is_picture
        elif not is_picture:
            folder.others.append(name)
        elif kind == "file":
            folder.pictures.append(folder.path / name)
        else:
            passed[_NO_FILE[kind]] += 1
    left_out += (LeftOut(folder.path, count, reason) for reason, count in passed.items() if count)
