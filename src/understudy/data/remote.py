"""Files of object stores, named by URIs such as ``s3://line/a.png``, fetched once into a cache of the user.

A cached file is ``<cache>/<scheme>/<bucket and folders>/<stamp>/<name>``, so that errors further on still
show where it came from. The stamp changes with the file: it is made of all that the store tells of the
contents, such as ETag, checksum, time and size. A store that tells no more than the size is asked anew each
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from understudy.errors import InputError, UnderstudyError, WorkError, extra_needed
from understudy.files import cache_folder

__all__ = ["fetch", "fetch_all", "is_uri", "uri_of"]

_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_COLLAPSED = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.IGNORECASE | re.DOTALL)
_AT_ONCE = 16
_CHANGING = {  # what stores tell of a file, without case, hyphens and underscores
    "etag",
    "contentmd5",
    "md5",
    "md5hash",
    "digest",
    "checksum",
    "sha",
    "hash",
    "crc32c",
    "generation",
    "versionid",
    "blobid",
    "mtime",
    "modificationtime",
    "modified",
    "lastmodified",
    "updated",
    "created",
}


def is_uri(name: str) -> bool:
    """Tell whether a name is a URI, as ``s3://line/a.png``."""
    return bool(_URI.match(name))


def uri_of(path: Path) -> str | None:
    """Return the URI that a path was made of, which lost a slash in it; ``None`` if it is a plain path."""
    found = _COLLAPSED.fullmatch(path.as_posix())
    if not found:
        return None
    scheme, rest = found.groups()
    return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"


def fetch(uri: str, place: str = "") -> Path:
    """Fetch a file into the cache, unless it is there, and return it.

    Args:
        uri: name of the file.
        place: file and line that name it, for errors.

    Raises:
        InputError: the file does not exist, or the package that reads such URIs is not installed.
        WorkError: it cannot be fetched.
    """
    named = f"{place}: {uri}" if place else uri
    try:
        import fsspec
    except ImportError as error:
        raise extra_needed("remote", named) from error
    try:
        system, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise InputError(f"{named} cannot be opened: {error}") from error
    try:
        return _cached(system, path, uri)
    except UnderstudyError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{named} does not exist; mend the name, or upload the file") from error
    except Exception as error:  # drivers raise errors of their own
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WorkError(f"{named} cannot be fetched: {reason}; try again when it can be reached") from error


def fetch_all(uris: Mapping[str, str]) -> dict[str, Path]:
    """Fetch files, several at once.

    Args:
        uris: URI -> file and line that name it, for errors.

    Returns:
        URI -> file in the cache.

    Raises:
        InputError: see :func:`fetch`.
        WorkError: see :func:`fetch`.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        coming = [pool.submit(fetch, uri, place) for uri, place in uris.items()]
        try:
            return {uri: each.result() for uri, each in zip(uris, coming, strict=True)}
        except UnderstudyError:
            pool.shutdown(cancel_futures=True)
            raise


def _cached(system: Any, path: str, uri: str) -> Path:
    """Return the file in the cache; fetch it if it is not there, or has changed since."""
    scheme, _, rest = uri.partition("://")
    *folders, name = [part for part in rest.split("/") if part not in ("", ".", "..")]
    told = system.info(path)
    marks = sorted(
        (plain, str(value))
        for key, value in told.items()
        if (plain := key.lower().replace("-", "").replace("_", "")) in _CHANGING and value
    )
    stamp = hashlib.sha256(f"{uri} {marks} {told.get('size')}".encode()).hexdigest()[:16]
    file = cache_folder("remote").joinpath(scheme.lower(), *folders, stamp, name)
    if marks and file.is_file():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    number, part = tempfile.mkstemp(prefix=".part-", dir=file.parent)
    os.close(number)
    try:
        system.get_file(path, part)
        expected = told.get("size")
        if expected is not None and Path(part).stat().st_size != expected:
            raise OSError("it arrived incomplete")
        Path(part).replace(file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(part).unlink()
    return file
