"""Folders of this machine and of object stores: find the pictures in them, read one. Needs pyarrow.

A place is opened as the URI that was typed. What is found in it is read by its path: its name in results is
the place and the name in the store as it is, with nothing escaped, and is never parsed again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote

from understudy.data.remote import is_uri, uri_of
from understudy.errors import InputError, WorkError, extra_needed
from understudy.runtime.images import PICTURE_SUFFIXES
from understudy.runtime.walk import find_pictures

__all__ = ["Content", "list_lake", "local_folder", "open_place", "place_name", "read_content"]

_PAUSES = (0.2, 1.0)  # seconds before a store that failed is asked again
_AS_TYPED = "%/:?=&@!$'()*+,;[]~"  # of a URI; blanks, # and letters that are no ASCII are escaped


class Content(NamedTuple):
    """What was read of a file.

    Attributes:
        data: its content, or ``None``.
        error: why there is none, in one sentence, or ``None``.
        reached: whether the store answered; if it did not, another time may give the content.
    """

    data: bytes | None
    error: str | None = None
    reached: bool = True


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
        return LocalFileSystem(), _absolute(name)
    try:
        system, path = FileSystem.from_uri(quote(name, _AS_TYPED, errors="surrogateescape"))
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


def local_folder(name: str) -> Path | None:
    """Return the path of a folder of this machine, also if ``file://`` names it; ``None`` if it is elsewhere.

    Raises:
        InputError: a URI of a file cannot be understood.
    """
    if is_uri(name) and not name.lower().startswith("file://"):
        return None
    return Path(open_place(name)[1])


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links


def list_lake(places: Iterable[str | Path]) -> dict[str, str]:
    """Find all pictures in some places, each once: a place is a file, a folder or a URI.

    Pictures of a folder come sorted; hidden files and folders are passed over.

    Returns:
        Name of each picture -> the place that it was found in. A local name is absolute.

    Raises:
        InputError: a place does not exist, or there is no picture.
        WorkError: a store does not answer.
    """
    asked = [place_name(place) for place in places]
    found: dict[str, str] = {}
    for place in asked:
        for name in _pictures_in(place):
            found.setdefault(name, place)
    if not found:
        raise InputError(f"no pictures in {', '.join(asked) or 'an empty list'}")
    return found


@dataclass(frozen=True)
class _Opened:
    """A place of a store.

    Attributes:
        name: its URI.
        system: pyarrow's file system.
        base: its path there.
        query: what follows the path in the URI, as ``?region=eu-west-1``.
    """

    name: str
    system: Any
    base: str
    query: str

    def name_of(self, below: str) -> str:
        """Name a file of the place by its path below it."""
        return f"{self.name.removesuffix(self.query).rstrip('/')}/{below}{self.query}"

    def path_of(self, name: str) -> str:
        """Return the path of a file of the place that :meth:`name_of` named."""
        if name == self.name:
            return self.base
        before = len(self.name.removesuffix(self.query).rstrip("/")) + 1
        return f"{self.base.rstrip('/')}/{name[before : len(name) - len(self.query)]}"


@lru_cache
def _opened(place: str) -> _Opened:
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    system, base = open_place(place)
    by_fsspec = isinstance(system, PyFileSystem) and isinstance(system.handler, FSSpecHandler)
    _, mark, query = ("", "", "") if by_fsspec else place.partition("?")  # fsspec's paths may have a ?
    return _Opened(place, system, base, mark + query)


def _pictures_in(place: str) -> list[str]:
    if not is_uri(place):
        return [_absolute(path) for path in find_pictures(place)]
    from pyarrow.fs import FileSelector, FileType

    opened = _opened(place)
    system, base = opened.system, opened.base
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
    return [opened.name_of(name) for name in below if _is_picture(name)]


def _is_picture(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not any(part.startswith(".") for part in path.parts)


def read_content(name: str, place: str, patient: bool = True) -> Content:
    """Read a file of an object store; ask again a little later if the store does not answer.

    Args:
        name: name of the file, as :func:`list_lake` gives it.
        place: the place that it was found in.
        patient: whether a store that does not answer is asked again.
    """
    for pause in (0.0, *_PAUSES) if patient else (0.0,):
        time.sleep(pause)
        try:
            opened = _opened(place)
            with opened.system.open_input_stream(opened.path_of(name)) as file:
                return Content(bytes(file.read()))
        except FileNotFoundError:
            return Content(None, f"{name} does not exist any more")
        except InputError as error:
            return Content(None, str(error), reached=False)
        except Exception as error:  # drivers raise errors of their own
            failure = error if isinstance(error, WorkError) else _unreached(name, error)
    return Content(None, str(failure), reached=False)


def _unreached(name: str, error: Exception) -> WorkError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return WorkError(f"{name} cannot be read: {reason}; try again when it can be reached")
