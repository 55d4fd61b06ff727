"""Pictures -> their canvases and digests, decoded ahead on other threads."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from understudy.errors import PictureError
from understudy.runtime.images import Picture, decode_picture, picture_of, read_bytes
from understudy.runtime.preprocess import Preprocess
from understudy.stopwatch import Lap, untimed

__all__ = ["Decoded", "Source", "decode_ahead", "digest_of"]

Source = Path | NDArray[np.generic]
"""A picture's file, or the picture itself; see :func:`understudy.runtime.images.picture_of`."""

_DIGITS = 32  # of a picture's SHA-256: 128 bits name it well enough


class Decoded(NamedTuple):
    """A picture ready for a model.

    Attributes:
        path: its file; of an array its place among the others, such as ``array-0``.
        picture: (h, w, 3), its canvas.
        digest: of its file's content.
        size: its own (height, width).
    """

    path: Path
    picture: Picture
    digest: str
    size: tuple[int, int]


def digest_of(data: bytes) -> str:
    """Name of a file's content: the first half of its SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def decode_ahead(
    sources: Iterable[Source], preprocess: Preprocess, ahead: int = 16, lap: Lap = untimed
) -> Iterator[Decoded | PictureError]:
    """Yield each picture's canvas in order, decoding on other threads meanwhile.

    A picture that does not decode yields its error, so one never stops the rest.
    """

    def one(place: int, source: Source) -> Decoded | PictureError:
        path = source if isinstance(source, Path) else Path(f"array-{place}")
        try:
            with lap("decode", 1):
                data = read_bytes(source) if isinstance(source, Path) else source.tobytes()
                picture = (
                    decode_picture(data, source) if isinstance(source, Path) else picture_of(source, path)
                )
            height, width, _ = picture.shape
            with lap("resize", 1):
                canvas = preprocess.resize(picture)
            return Decoded(path, canvas, digest_of(data), (height, width))
        except PictureError as error:
            return error

    with ThreadPoolExecutor() as pool:
        coming = (pool.submit(one, *numbered) for numbered in enumerate(sources))
        waiting: deque[Future[Decoded | PictureError]] = deque(islice(coming, ahead))
        while waiting:
            with lap("wait", 1):
                result = waiting.popleft().result()
            waiting.extend(islice(coming, 1))
            yield result
