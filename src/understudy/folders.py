"""Output folders: which files are ours, one writer at a time, and new files in place of old when whole.

A folder has a *list*: a sealed JSON file with the SHA-256 of every file that this program wrote there. The
list of a model is its ``manifest.json``; a folder of results has ``.understudy.json``. Only files on a list
are ever removed.

:func:`publish` puts the files of a draft in place so that a stop at any moment loses nothing::

    draft/        is renamed to .understudy-new, in one step: from now on the new files count
    old files     that the new list does not name are removed
    new files     are moved into the folder, one by one; the list is the last

:func:`finish` goes on from wherever that stopped. Whoever opens the folder calls it first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from understudy.errors import InputError, WorkError
from understudy.files import PART, sha256_of, write_json, writing

__all__ = [
    "BEGUN",
    "RESULTS",
    "STATE",
    "TRAINING",
    "begun_files",
    "changed_files",
    "clear_own",
    "draft_in",
    "files_below",
    "finish",
    "foreign_files",
    "locked",
    "own_files",
    "publish",
    "read_sealed",
    "remove_own",
    "write_sealed",
]

RESULTS = ".understudy.json"  # the list of a folder of results
LISTS = (RESULTS, "manifest.json")
TRAINING = ".understudy-training"  # subfolder with the state of an unfinished training
STATE = ("last.ckpt", "training.jsonl")  # its files
_PRIVATE = ".understudy"  # names that begin so are ours
_DRAFT = ".understudy-draft-"
BEGUN = ".understudy.jsonl"  # names of the files of an unfinished run, one a line
_LOCK = ".understudy.lock"
_NEW = ".understudy-new"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_WAIT = 10.0  # seconds that a reader waits for a writer to put its files in place


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with a hash of itself, which tells damage; it proves no origin."""
    write_json(path, {**content, "seal": _seal(content)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return the object that :func:`write_sealed` wrote; ``None`` if there is none, or it was altered."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    seal = content.pop("seal", None)
    return content if seal is not None and seal == _seal(content) else None


def _seal(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def own_files(folder: Path, listing: str = RESULTS) -> dict[str, str]:
    """Return the SHA-256 of each file that a folder's list names; empty without a list of ours."""
    content = read_sealed(folder / listing) or {}
    return {str(name): str(digest) for name, digest in dict(content.get("files", {})).items()}


def begun_files(folder: Path) -> list[str]:
    """Return the names that an unfinished run noted; a line that was cut short is no name."""
    try:
        lines = (folder / BEGUN).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    names = []
    for line in lines:
        with suppress(ValueError):
            names.append(str(json.loads(line)))
    return [name for name in names if _lies_inside(name)]


def foreign_files(folder: Path, listing: str = RESULTS, *, below: Path | None = None) -> Iterator[str]:
    """Yield the names of all files in a folder and below it that are not ours, or were changed since.

    Args:
        folder: folder of the files.
        listing: name of its list.
        below: file or subfolder to look at alone.
    """
    top = below or folder
    ours = own_files(folder, listing)
    private = {*begun_files(folder), *({listing} if ours else ())}
    found = top.rglob("*") if top.is_dir() else [top] if top.exists() else []
    for name in (str(p.relative_to(folder)) for p in found if not _is_folder(p)):
        is_ours = _is_private(name) or name in private
        if not is_ours and (name not in ours or sha256_of(folder / name) != ours[name]):
            yield name


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not to be looked at
        return False


def _is_private(name: str) -> bool:
    first, *rest = Path(name).parts
    if rest and rest[-1].startswith(PART):
        return True
    if first == TRAINING:
        return not rest or rest[0] in STATE or rest[0].startswith(_DRAFT)
    return first.startswith(_PRIVATE)


def changed_files(folder: Path, listing: str = RESULTS) -> Iterator[str]:
    """Yield the names of the files on a folder's list that are there and were changed since."""
    for name, digest in own_files(folder, listing).items():
        if (folder / name).is_file() and sha256_of(folder / name) != digest:
            yield name


def clear_own(folder: Path, listing: str = RESULTS, *, keep: Mapping[str, str] | None = None) -> None:
    """Remove the files that a folder's list names and that are unchanged, then the list; nothing else.

    Args:
        folder: folder of the files.
        listing: name of its list.
        keep: files on the list, with their hashes, that stay there and on the list.
    """
    own = own_files(folder, listing)
    for place in {(folder / name).parent for name in (*own, *begun_files(folder)) if _lies_inside(name)}:
        _remove_parts(place)
    for name, digest in own.items():
        if name not in (keep or {}):
            _remove(folder, name, digest)
    for name in begun_files(folder):
        _remove(folder, name, None)
    if keep:
        write_sealed(folder / listing, {"files": dict(keep)})
    elif read_sealed(folder / listing) is not None:
        (folder / listing).unlink()
    (folder / BEGUN).unlink(missing_ok=True)


def remove_own(folder: Path, listing: str = RESULTS) -> None:
    """Remove our files from a folder, and the folder itself if nothing else is in it."""
    clear_own(folder, listing)
    with suppress(OSError):
        folder.rmdir()


def _remove(folder: Path, name: str, digest: str | None) -> None:
    """Remove a file that has the given hash, and the subfolders that it leaves empty."""
    path = folder / name
    if not _lies_inside(name) or path.is_symlink() or not path.is_file():
        return
    if digest is None or sha256_of(path) == digest:
        path.unlink()
        _remove_empty(path.parent, folder)


def _remove_parts(folder: Path) -> None:
    """Remove files that a stopped process was writing; call it within :func:`locked`."""
    for part in folder.glob(f"{PART}*"):
        part.unlink(missing_ok=True)


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):  # not empty
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def _lies_inside(name: str) -> bool:
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


@contextmanager
def locked(folder: Path, listing: str = RESULTS, *, wait: float = 0.0) -> Iterator[None]:
    """Keep other processes from writing into a folder during the block.

    The folder is created if it is missing. What a stopped :func:`publish` began is finished first. If the
    block leaves nothing in a new folder, it is removed. A disk that knows no locks gives none.

    Args:
        folder: folder.
        listing: name of its list.
        wait: seconds to wait for another process.

    Raises:
        InputError: another process writes there; the sentence names it.
        WorkError: the folder cannot be written.
    """
    path = folder / _LOCK
    lock = FileLock(path, timeout=wait, mode=0o666)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _acquire(lock, path)
        except Timeout as error:
            raise InputError(
                f"{folder} is being written by {_owner(path)}; wait for it, or choose another folder"
            ) from error
    try:
        _remove_parts(folder)
        _put_in_place(folder, listing)
        with suppress(OSError):  # a full disk: the lock holds without a name
            path.write_text(f"process {os.getpid()} ({_command()})", "utf-8", errors="backslashreplace")
        yield
    finally:
        with suppress(OSError):
            path.unlink()
            for each in made:
                each.rmdir()  # fails if the block left something in it
        lock.release()


def _acquire(lock: FileLock, path: Path) -> None:
    """Take the lock on the file that lies at the path; a holder removes it before letting go."""
    while True:
        path.touch()
        before = path.stat().st_ino
        try:
            lock.acquire()
        except Timeout:
            raise
        except (NotImplementedError, OSError) as error:
            if getattr(error, "errno", None) in (None, *_NO_LOCKS):
                return  # a disk without locks, as some network shares
            raise
        with suppress(FileNotFoundError):
            if path.stat().st_ino == before:
                return
        lock.release()  # the file that was locked is gone by now


def _owner(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


def _command() -> str:
    words = [Path(sys.argv[0]).name if sys.argv else "python", *sys.argv[1:2]]
    return " ".join(word for word in words if word)


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """Yield a new private subfolder, on the same disk; remove it afterwards with all that is left in it."""
    with writing(folder):
        for left in folder.glob(f"{_DRAFT}*"):
            _discard(left)
        place = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder))
    try:
        yield place
    finally:
        _discard(place)


def _discard(draft: Path) -> None:
    """Remove a draft: a private folder that only this program writes into."""
    shutil.rmtree(draft, ignore_errors=True)


def publish(draft: Path, folder: Path, listing: str = RESULTS) -> None:
    """Put the files of a draft in place of a folder's old ones, so that a stop at any moment loses nothing.

    The draft holds a sealed list that names all files of the folder; those that it does not hold itself stay
    as they are. Call it within :func:`locked`.

    Args:
        draft: folder that :func:`draft_in` or a caller made below ``folder``; it is gone afterwards.
        folder: folder for the files.
        listing: name of the list.

    Raises:
        WorkError: the folder cannot be written, or a file of the user has the name of a new one.
    """
    known = read_sealed(folder / listing) is not None
    ours = {*own_files(folder, listing), *begun_files(folder), *({listing} if known else ())}
    names = [*files_below(draft), listing]
    for name in names:
        if (folder / name).exists() and name not in ours:
            raise WorkError(f"{folder / name} is a file of yours; move it away, then try again")
    with writing(folder):
        for name in names:
            _to_disk(draft / name)
        draft.rename(folder / _NEW)
    _put_in_place(folder, listing)


def finish(folder: Path, listing: str = RESULTS) -> bool:
    """Finish what a stopped :func:`publish` began, or wait for one that runs; tell whether there was one.

    Raises:
        InputError: the folder is not writable for this user, so the files cannot be put in place.
    """
    if not (folder / _NEW).is_dir():
        return False
    try:
        with locked(folder, listing, wait=_WAIT):
            return True
    except WorkError as error:
        if _ends(folder / _NEW):  # another process was about to finish it
            return True
        raise InputError(
            f"the last write into {folder} was interrupted, and it cannot be finished: {error}"
        ) from error


def _ends(place: Path) -> bool:
    """Wait for a folder to go away; tell whether it did."""
    until = time.monotonic() + _WAIT
    while place.is_dir() and time.monotonic() < until:
        time.sleep(0.05)
    return not place.is_dir()


def _put_in_place(folder: Path, listing: str) -> None:
    new = folder / _NEW
    if not new.is_dir():
        return
    with writing(folder):
        if (new / listing).is_file():
            keep = own_files(new, listing)
            for name, digest in own_files(folder, listing).items():
                if name not in keep:
                    _remove(folder, name, digest)
            for name in begun_files(folder):
                if name not in keep:
                    _remove(folder, name, None)
            for name in files_below(new):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).replace(folder / name)
            (folder / BEGUN).unlink(missing_ok=True)
            (new / listing).replace(folder / listing)
        _discard(new)


def files_below(folder: Path) -> list[str]:
    """Return the names of all files in a draft but those that begin as private ones do, and its list."""
    names = (str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in names if name not in LISTS and not name.startswith(_PRIVATE))


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
