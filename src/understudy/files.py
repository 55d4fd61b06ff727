"""File output that is whole or absent, and file hashes. Imports nothing heavy."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from understudy.errors import BundleError, InputError, WorkError

__all__ = [
    "PART",
    "cache_folder",
    "check_writable",
    "missing_room",
    "named_path",
    "prepare_folder",
    "sha256_of",
    "write_bytes",
    "write_json",
    "write_text",
    "writing",
]

PART = ".understudy-part-"  # begins the name of a file that is being written
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder(part: str) -> Path:
    """Return the folder of the user's cache for one kind of file, which may not exist yet.

    Args:
        part: name of the folder below the program's own.

    Raises:
        RuntimeError: the user has no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "understudy" / part


@contextmanager
def writing(path: Path, way_out: str = "choose another folder", needs: int | None = None) -> Iterator[None]:
    """Turn an :class:`OSError` of the block into a :class:`WorkError` with the path and the way out.

    Args:
        path: file or folder that the block writes.
        way_out: advice for the user; a full disk has its own, with the room that is missing.
        needs: number of bytes that the block writes, if it is known.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = f"make room there: {missing_room(path, needs)}"
        raise WorkError(f"{path} cannot be written: {error.strerror or error}; {way_out}") from error


def missing_room(path: Path, needs: int | None = None) -> str:
    """Return in words how much room is missing on the disk of a path, or is free if the need is not known.

    Args:
        path: file or folder, which may not exist yet.
        needs: number of bytes that are to be written.
    """
    place = next((folder for folder in (path, *path.parents) if folder.is_dir()), Path.cwd())
    free = shutil.disk_usage(place).free
    if needs is None or needs <= free:
        return f"{free / 1e6:.1f} MB are free"
    return f"{(needs - free) / 1e6:.1f} MB are missing"


def named_path(text: str | Path, what: str) -> Path:
    """Return a path that an operating system can take.

    Args:
        text: path, as it was given.
        what: what it names, as the beginning of a sentence.

    Raises:
        InputError: it is empty, as an unset shell variable, or a part of it is too long.
    """
    if not str(text).strip():
        raise InputError(f"{what} has no name; is a shell variable unset?")
    longest = max((os.fsencode(part) for part in Path(text).parts), key=len)
    if len(longest) > _LONGEST_NAME or len(os.fsencode(text)) > _LONGEST_PATH:
        shown = longest[:30].decode("utf-8", "replace")
        raise InputError(
            f"{what} has too long a name, {shown}...; choose one of at most {_LONGEST_NAME} bytes"
        )
    return Path(text)


def check_writable(folder: Path) -> None:
    """Check that files can be written into a folder, before any work is spent; leave nothing behind.

    Raises:
        BundleError: the folder cannot be written; exit code 2, because the argument is wrong and no work was
            done.
    """
    probe = folder / ".understudy-probe"
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BundleError(
            f"the output folder {folder} cannot be written: {error.strerror or error}; "
            "choose another one with --out"
        ) from error
    finally:
        for each in made:
            with suppress(OSError):  # not made, or in use by now
                each.rmdir()


def prepare_folder(folder: Path) -> None:
    """Create a folder and check that files can be written into it; see :func:`check_writable`."""
    check_writable(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write an object as JSON; see :func:`write_bytes`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8; see :func:`write_bytes`. Invalid Unicode in names is written as its bytes."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file through a temporary one, so that a reader never sees half of it.

    Raises:
        WorkError: the file cannot be written; the old one, if any, is still there.
    """
    part = path.with_name(f"{PART}{os.getpid()}-{path.name[:60]}.part")
    with writing(path, needs=len(data)):
        try:
            part.write_bytes(data)
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
