"""Picture files -> resized pictures and digests, decoded ahead on other threads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from understudy.errors import PictureError
from understudy.runtime.images import Picture, Preprocess, decode_picture, read_bytes
from understudy.stopwatch import Lap, untimed

__all__ = ["Decoded", "decode_ahead", "digest_of"]

_DIGITS = 32  # of a picture's SHA-256: 128 bits name it well enough


class Decoded(NamedTuple):
    """A picture ready for a model, the digest of its file, and its own (height, width)."""

    picture: Picture
    digest: str
    size: tuple[int, int]


def digest_of(data: bytes) -> str:
    """Name of a file's content: the first half of its SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def decode_ahead(
    paths: Sequence[Path], preprocess: Preprocess, ahead: int = 16, lap: Lap = untimed
) -> Iterator[Decoded | PictureError]:
    """Yield each path's resized picture in order, decoding on other threads meanwhile.

    A picture that does not decode yields its error, so one never stops the rest.
    """

    def one(path: Path) -> Decoded | PictureError:
        try:
            with lap("decode", 1):
                data = read_bytes(path)
                picture = decode_picture(data, path)
            height, width, _ = picture.shape
            with lap("resize", 1):
                resized = preprocess.resize(picture)
            return Decoded(resized, digest_of(data), (height, width))
        except PictureError as error:
            return error

    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(one, path) for path in paths[:ahead]]
        for path in [*paths[ahead:], *[None] * len(waiting)]:
            done = waiting.pop(0)
            if path is not None:
                waiting.append(pool.submit(one, path))
            with lap("wait", 1):
                result = done.result()
            yield result
