"""File output that is whole or absent, and file hashes. Imports nothing heavy."""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from understudy.errors import BundleError, WorkError

__all__ = ["prepare_folder", "sha256_of", "write_json", "write_text", "writing"]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path, way_out: str = "choose another folder") -> Iterator[None]:
    """Turn an :class:`OSError` of the block into a :class:`WorkError` with the path and the way out.

    Args:
        path: file or folder that the block writes.
        way_out: advice for the user; a full disk has its own.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            way_out = "make room there"
        raise WorkError(f"{path} cannot be written: {error.strerror or error}; {way_out}") from error


def prepare_folder(folder: Path) -> None:
    """Create a folder and check that it can be written, before any work is spent.

    Raises:
        BundleError: the folder cannot be written; exit code 2, because the argument is wrong and no work was
            done.
    """
    probe = folder / ".understudy-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BundleError(
            f"the output folder {folder} cannot be written: {error.strerror or error}; "
            "choose another one with --out"
        ) from error


def write_json(path: Path, content: object) -> None:
    """Write an object as JSON; see :func:`write_text`."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text through a temporary file, so that a reader never sees half of it.

    Raises:
        WorkError: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    with writing(path):
        part.write_text(text, encoding="utf-8", errors="backslashreplace")  # for invalid Unicode in names
        part.replace(path)
