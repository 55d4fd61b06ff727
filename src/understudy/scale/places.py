"""Folders of this machine and of object stores: find the pictures in them, read one. Needs pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from understudy.data.remote import is_uri, uri_of
from understudy.errors import InputError, WorkError, extra_needed
from understudy.runtime.images import PICTURE_SUFFIXES
from understudy.runtime.walk import find_pictures

__all__ = ["list_lake", "open_place", "place_name", "read_content"]


def place_name(given: str | Path) -> str:
    """Return a URI as it was typed, also if it was made a path since; a path stays as it is."""
    return (isinstance(given, Path) and uri_of(given)) or str(given)


def open_place(name: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a URI or a local path, and the path in it.

    pyarrow opens ``s3://``, ``gs://``, ``abfs://``, ``hdfs://`` and ``file://`` by itself; fsspec the rest.

    Raises:
        InputError: nothing that is installed opens such a URI.
        WorkError: the store does not answer.
    """
    from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

    if not is_uri(name):
        return LocalFileSystem(), os.path.abspath(name)  # noqa: PTH100  # resolve() would follow links
    try:
        system, path = FileSystem.from_uri(name)
        return system, path
    except OSError as error:
        raise _unreached(name, error) from error
    except ValueError:
        pass  # a scheme that pyarrow does not know
    try:
        import fsspec
    except ImportError as error:
        raise extra_needed("remote", name) from error
    try:
        system, path = fsspec.core.url_to_fs(name)
    except (ImportError, ValueError) as error:
        raise InputError(f"{name} cannot be opened: {error}") from error
    return PyFileSystem(FSSpecHandler(system)), path


def list_lake(places: Iterable[str | Path]) -> list[str]:
    """Return the names of all pictures in some places, each once: a place is a file, a folder or a URI.

    Pictures of a folder come sorted; hidden files and folders are passed over.

    Raises:
        InputError: a place does not exist, or there is no picture.
        WorkError: a store does not answer.
    """
    asked = [place_name(place) for place in places]
    found = dict.fromkeys(name for place in asked for name in _pictures_in(place))
    if not found:
        raise InputError(f"no pictures in {', '.join(asked) or 'an empty list'}")
    return list(found)


def _pictures_in(place: str) -> list[str]:
    if not is_uri(place):
        return [str(path) for path in find_pictures(place)]
    from pyarrow.fs import FileSelector, FileType

    system, base = open_place(place)
    try:
        (info,) = system.get_file_info([base])
        if info.type == FileType.File:
            return [place]
        if info.type == FileType.NotFound:
            raise InputError(f"{place} does not exist; name a picture or a folder of pictures")
        every = system.get_file_info(FileSelector(base, recursive=True))
    except InputError:
        raise
    except Exception as error:  # drivers raise errors of their own
        raise _unreached(place, error) from error
    top = base.rstrip("/")
    below = sorted(each.path[len(top) :].lstrip("/") for each in every if each.type == FileType.File)
    return [f"{place.rstrip('/')}/{name}" for name in below if _is_picture(name)]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def read_content(name: str) -> tuple[bytes | None, str | None]:
    """Read a file of an object store.

    Args:
        name: its URI.

    Returns:
        The content and ``None``, or ``None`` and why it cannot be read, in one sentence.
    """
    try:
        system, path = open_place(name)
        with system.open_input_stream(path) as file:
            return bytes(file.read()), None
    except (InputError, WorkError) as error:
        return None, str(error)
    except FileNotFoundError:
        return None, f"{name} does not exist any more"
    except Exception as error:  # drivers raise errors of their own
        return None, str(_unreached(name, error))


def _unreached(name: str, error: Exception) -> WorkError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return WorkError(f"{name} cannot be read: {reason}; try again when it can be reached")
