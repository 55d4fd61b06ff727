"""Pictures of any source -> their canvases and digests: files, folders, arrays, PIL images, iterators."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import InputError, PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.decoding import decode_data, decode_file, digest_of
from understudy.runtime.images import Picture, picture_of
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.walk import find_pictures

__all__ = [
    "Decoded",
    "EncodedPicture",
    "PictureInput",
    "Source",
    "decode_ahead",
    "decode_one_by_one",
    "digest_of",
    "is_stream",
    "list_sources",
    "usable_cores",
]


@dataclass(frozen=True)
class EncodedPicture:
    """Content of a picture file that came over a network.

    Attributes:
        name: name of the file, for results and errors.
        data: content of the file.
    """

    name: str
    data: bytes


Source = Path | NDArray[np.generic] | Image.Image | EncodedPicture
"""One picture: its file, a file's content, a PIL image or an array; see
:func:`understudy.runtime.images.picture_of`."""

PictureInput = (
    str | Path | NDArray[np.generic] | Image.Image | Iterable[str | Path | NDArray[np.generic] | Image.Image]
)
"""A file, a folder that is searched for pictures, a picture, or a list or an iterator of these.

A picture is a PIL image or an array: (H, W), (H, W, 3) or (H, W, 4) uint8; or (H, W) or (H, W, 3) uint16 or
float32, whose range the model records, see :class:`understudy.runtime.depth.Depth`. Several colour pictures
of one size may be one (N, H, W, 3) array. An iterator is read one picture at a time, so it may be endless.
"""


class Decoded(NamedTuple):
    """A decoded picture, resized for a model.

    Attributes:
        path: file of the picture; for a picture in memory, a name with its position, such as ``picture-0``.
        picture: (h, w, 3) uint8 canvas.
        digest: digest of the file's content.
        size: (height, width) of the original picture in pixels.
    """

    path: Path
    picture: Picture
    digest: str
    size: tuple[int, int]


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1; may be fewer than the machine has."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def is_stream(pictures: PictureInput | Iterable[Source]) -> bool:
    """Tell whether pictures come one at a time, as from a camera.

    Each picture of a stream is judged before the next one is asked for.
    """
    return isinstance(pictures, Iterable) and not isinstance(pictures, Collection)


def list_sources(pictures: PictureInput) -> Iterable[Source]:
    """Return all pictures; those of a stream are looked up as they come.

    Raises:
        InputError: a path does not exist, something is no picture, or there is no picture.
    """
    if isinstance(pictures, str | Path):
        asked: Sequence[str | Path | NDArray[np.generic] | Image.Image] = [pictures]
    elif isinstance(pictures, Image.Image):
        asked = [pictures]
    elif isinstance(pictures, np.ndarray):
        asked = list(pictures) if pictures.ndim == 4 else [pictures]
    elif is_stream(pictures):
        return (source for each in pictures for source in _sources(each))
    elif isinstance(pictures, Iterable) and not isinstance(pictures, bytes | bytearray | memoryview):
        asked = list(pictures)
    else:
        raise _no_picture(pictures)
    sources = [source for each in asked for source in _sources(each)]
    if not sources:
        raise InputError(f"no pictures in {', '.join(map(str, asked)) or 'an empty list'}")
    return sources


def _sources(each: str | Path | NDArray[np.generic] | Image.Image) -> Sequence[Source]:
    if isinstance(each, np.ndarray | Image.Image):
        return [each]
    if not isinstance(each, str | Path):
        raise _no_picture(each)
    try:
        return find_pictures(each)
    except OSError as error:  # such as a name that is too long
        raise InputError(f"{each} cannot be read: {error.strerror or error}") from error


def _no_picture(given: object) -> InputError:
    return InputError(
        f"a value of type {type(given).__name__} is no picture; give a file or folder by its name, a PIL "
        "image or an array, or a list or an iterator of these"
    )


def decode_ahead(
    sources: Iterable[Source], preprocess: Preprocess, ahead: int = 16, lap: Lap = untimed
) -> Iterator[Decoded | PictureError]:
    """Yield the canvas of each picture in order, while other threads decode the next ones.

    A picture that does not decode yields its error, so it does not stop the rest. There are as many threads
    as usable cores, and all of them share one budget of memory; see :mod:`understudy.runtime.budget`.

    Args:
        sources: pictures.
        preprocess: resizes a picture to its canvas.
        ahead: number of pictures that are decoded ahead, at most.
        lap: times the parts of the work.
    """
    with ThreadPoolExecutor(min(ahead, usable_cores())) as pool:
        coming = (
            pool.submit(_decode, place, source, preprocess, lap) for place, source in enumerate(sources)
        )
        waiting: deque[Future[Decoded | PictureError]] = deque(islice(coming, ahead))
        while waiting:
            with lap("wait", 1):
                result = waiting.popleft().result()
            waiting.extend(islice(coming, 1))
            yield result


def decode_one_by_one(
    sources: Iterable[Source], preprocess: Preprocess, lap: Lap = untimed
) -> Iterator[Decoded | PictureError]:
    """Yield the canvas of each picture; ask for the next picture only when it is needed."""
    for place, source in enumerate(sources):
        yield _decode(place, source, preprocess, lap)


def _decode(place: int, source: Source, preprocess: Preprocess, lap: Lap) -> Decoded | PictureError:
    path = _name_of(source, place)
    try:
        with lap("decode", 1):
            if isinstance(source, Path):
                canvas, size, digest = decode_file(path, preprocess.depth, preprocess.canvas, lap)
                return Decoded(path, canvas, digest, size)
            if isinstance(source, EncodedPicture):
                canvas, size, digest = decode_data(
                    source.data, path, preprocess.depth, preprocess.canvas, lap
                )
                return Decoded(path, canvas, digest, size)
            picture = picture_of(source, path, preprocess.depth)
        with lap("resize", 1):
            canvas = preprocess.resize(picture)
        height, width, _ = picture.shape
        return Decoded(path, canvas, digest_of(picture.data), (height, width))
    except PictureError as error:
        error.__cause__ = error.__context__ = None  # its frames would keep the pixels
        return error.with_traceback(None)


def _name_of(source: Source, place: int) -> Path:
    if isinstance(source, Path):
        return source
    return Path(source.name if isinstance(source, EncodedPicture) else f"picture-{place}")
