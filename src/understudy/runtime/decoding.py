"""A picture file becomes upright RGB of 8 bits, within a budget of memory that all threads share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from understudy.errors import PictureError
from understudy.progress import Lap, untimed
from understudy.runtime.budget import BUDGET, short_of_memory
from understudy.runtime.deep import deep_values, is_deep, is_deep_colour
from understudy.runtime.depth import Depth, row_bands, to_eight_bits
from understudy.runtime.headers import (
    has_alpha,
    load_image,
    open_image,
    open_regular,
    orientation_of,
    unread,
    upright_size,
)

__all__ = [
    "MAX_PIXELS",
    "REDUCED_ABOVE",
    "FilePicture",
    "decode_data",
    "decode_file",
    "decode_image",
    "digest_of",
    "opened",
    "resized",
    "size_of",
]

MAX_PIXELS = 178_956_970
"""A picture of more pixels is refused."""
REDUCED_ABOVE = 50_000_000
"""A JPEG of more pixels is decoded at a half, a quarter or an eighth of its size, if the canvas allows."""

Canvas = Callable[[tuple[int, int]], tuple[int, int]]
"""(height, width) of a picture -> (height, width) that it is resized to."""

_DIGITS = 32  # of the SHA-256; 128 bits identify a picture well enough
_SMALL = 8 * 2**20  # bytes; a larger file is read piece by piece
_TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # beginnings of TIFF files
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class FilePicture(NamedTuple):
    """A decoded file.

    Attributes:
        picture: (h, w, 3) uint8 RGB, upright.
        size: (height, width) of the picture in the file, upright.
        digest: digest of the file's content.
    """

    picture: NDArray[np.uint8]
    size: tuple[int, int]
    digest: str


class _Header(NamedTuple):
    """A picture file that is opened and not yet decoded.

    Attributes:
        image: Pillow's image.
        size: (height, width) of the picture, upright.
    """

    image: Image.Image
    size: tuple[int, int]


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest of a file's content: the first half of its SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def decode_file(
    path: Path, depth: Depth | None = None, canvas: Canvas | None = None, lap: Lap = untimed
) -> FilePicture:
    """Decode a picture file, as :func:`understudy.runtime.images.read_picture` says.

    Args:
        path: picture file.
        depth: range of deep pictures.
        canvas: size that the picture is resized to; ``None`` keeps its own.
        lap: times the resizing.

    Raises:
        PictureError: the file cannot be used, or memory is short.
    """
    with open_regular(path) as (file, length):
        content = BytesIO(_content(file, path)) if length <= _SMALL else file
        return _decode(content, length, path, depth, canvas, lap)


def decode_data(
    data: bytes, path: Path, depth: Depth | None = None, canvas: Canvas | None = None, lap: Lap = untimed
) -> FilePicture:
    """Decode the content of a picture file; see :func:`decode_file`. ``path`` names it in errors."""
    return _decode(BytesIO(data), len(data), path, depth, canvas, lap)


def _decode(
    file: IO[bytes], length: int, path: Path, depth: Depth | None, canvas: Canvas | None, lap: Lap
) -> FilePicture:
    header = _open(file, path, canvas)
    with _decoding(header, length, canvas, path):
        _require_checksums(header.image, file, path)
        picture, size = _picture(header, file, path, depth, canvas, lap)
        return FilePicture(picture, size, _digest_of_file(file))


def decode_image(image: Image.Image, path: Path, depth: Depth | None = None) -> NDArray[np.uint8]:
    """PIL image -> (H, W, 3) uint8 RGB, upright; the image stays as it is.

    Raises:
        PictureError: it does not decode; or it would lose the lower 8 of 16 bits.
    """
    if depth is not None and is_deep_colour(image):
        raise PictureError(
            path,
            "is an image of 16 bits a channel, of which Pillow drops 8; give its file or an array instead",
        )
    header = _Header(image, (image.height, image.width))
    with _explained(header, 0, path):
        return _picture(header, BytesIO(), path, depth, None, untimed)[0]


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, IO[bytes]]]:
    """Open a picture and yield it with its file; memory for its pixels is kept during the block.

    What goes wrong in the block is explained as in :func:`decode_file`.

    Raises:
        PictureError: see :func:`decode_file`.
    """
    with open_regular(path) as (file, length):
        header = _open(file, path, None)
        with _decoding(header, length, None, path):
            _require_checksums(header.image, file, path)
            yield header.image, file


def size_of(file: IO[bytes]) -> tuple[int, int]:
    """Return the (height, width) of a picture, upright, from its header; may raise anything if damaged."""
    return _header(file).size


def resized(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """L or RGB image -> (h, w, 3) uint8 of ``size`` = (height, width); bilinear with antialiasing."""
    if (image.height, image.width) == size:
        return _rgb_array(image)
    return _rgb_array(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _open(file: IO[bytes], path: Path, canvas: Canvas | None) -> _Header:
    try:
        header = _header(file)
        if math.prod(header.size) > MAX_PIXELS:
            raise PictureError(
                path,
                f"has more than {MAX_PIXELS // 10**6} million pixels, the most that is decoded; "
                "cut it into several files",
            )
        if canvas and math.prod(header.size) > REDUCED_ABOVE:
            _reduce(header.image, header.size, canvas(header.size))
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(path, _unidentified(file)) from error
    except MemoryError as error:
        raise PictureError(path, "cannot be opened because memory is short; free some") from error
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise PictureError(path, f"does not decode: {error}; replace or remove it") from error
    return header


def _unidentified(file: IO[bytes]) -> str:
    file.seek(0)
    if file.read(4) in _TIFFS:
        return "is damaged or a TIFF of a kind that is not read; save it as gray or RGB of 8 or 16 bits"
    return "is no picture that can be decoded; replace or remove it"


def _header(file: IO[bytes]) -> _Header:
    image = open_image(file)
    return _Header(image, upright_size(image))


def _reduce(image: Image.Image, size: tuple[int, int], canvas: tuple[int, int]) -> None:
    """Let a JPEG be decoded smaller, to twice the canvas or more."""
    height, width = canvas if size == (image.height, image.width) else canvas[::-1]
    if image.format in ("JPEG", "MPO"):
        image.draft(None, (2 * width, 2 * height))


@contextmanager
def _decoding(header: _Header, length: int, canvas: Canvas | None, path: Path) -> Iterator[None]:
    """Wait for the memory that a picture needs, and explain what goes wrong while it is decoded."""
    need = min(length, _SMALL) + _bytes_needed(header, canvas)
    with BUDGET.hold(need, path, header.size), _explained(header, need, path):
        try:
            yield
        finally:
            header.image.close()  # gives its memory back before the budget lets the next picture in


def _require_checksums(image: Image.Image, file: IO[bytes], path: Path) -> None:
    """Check a PNG as a whole; decoding it skips the checksums of its pixels."""
    if image.format != "PNG":
        return
    try:
        open_image(file).verify()
    except Exception as error:  # a damaged file makes it raise almost anything
        raise PictureError(
            path, "does not decode: the PNG is cut short or a checksum does not match; replace or remove it"
        ) from error


@contextmanager
def _explained(header: _Header, need: int, path: Path) -> Iterator[None]:
    try:
        yield
    except PictureError:
        raise
    except MemoryError as error:
        raise short_of_memory(path, header.size, need or _bytes_needed(header, None)) from error
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise PictureError(path, f"does not decode: {error}; replace or remove it") from error


def _bytes_needed(header: _Header, canvas: Canvas | None) -> int:
    """Estimate the bytes that decoding takes at its peak, without the file's own; rather too many."""
    whole, image = math.prod(header.size), header.image
    if canvas is None:
        kept = 3 * whole
    else:
        height, width = canvas(header.size)
        kept = width * (7 * height + 4 * header.size[0])
    pixels, gray = math.prod(image.size), len(image.getbands()) == 1 and image.mode != "P"
    flat = 1 if gray else 4
    if is_deep_colour(image):
        each = 21
    elif is_deep(image):
        each = 2 * (2 if image.mode.startswith("I;") else 4) + 2
    else:
        each = (1 if len(image.getbands()) == 1 else 4) + (0 if image.mode in ("L", "RGB") else flat)
    if image.format not in ("JPEG", "MPO", "PNG", "BMP"):
        each += 8 if image.format == "WEBP" else 4  # the decoder's own copy
    if orientation_of(unread(image)) in _TURNS:
        each += flat
    coefficients = whole * (2 if gray else 6) if image.info.get("progressive") else 0
    return kept + pixels * each + coefficients


def _picture(
    header: _Header, file: IO[bytes], path: Path, depth: Depth | None, canvas: Canvas | None, lap: Lap
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the picture or its canvas, and the (height, width) of the picture."""
    image = _upright(_flat(header.image, file, path, depth), header.image)
    shown = (image.height, image.width)
    is_reduced = math.prod(shown) < math.prod(header.size)
    size = header.size if is_reduced else shown  # EXIF data after the pixels may have turned it
    if canvas is None:
        return _rgb_array(image), size
    with lap("resize", 1):
        return resized(image, canvas(size)), size


def _flat(image: Image.Image, file: IO[bytes], path: Path, depth: Depth | None) -> Image.Image:
    """Return a picture as L or RGB, 8 bits a channel, with transparency laid over black."""
    if is_deep(image) and not (depth is None and is_deep_colour(image)):
        deep = deep_values(image, file)
        colour = Image.fromarray(to_eight_bits(deep.colour, depth, path))
        if deep.alpha is None:
            return colour
        colour.putalpha(Image.fromarray(to_eight_bits(deep.alpha, None, path)))
        return _in_bands(colour)
    load_image(image)
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode == "1" and "transparency" not in image.info:
        return image.convert("L")
    return _in_bands(image)


def _in_bands(image: Image.Image) -> Image.Image:
    """Convert an image to RGB, some rows at a time, so that few of them are in memory twice."""
    result = Image.new("RGB", image.size)
    for top, bottom in row_bands(image.height, image.width):
        result.paste(_rgb(image.crop((0, top, image.width, bottom))), (0, top))
    return result


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")
    if has_alpha(image):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("RGB")
    return image.convert("RGB")


def _upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """Turn a picture as the EXIF data of its source say; damaged EXIF data are ignored."""
    turn = _TURNS.get(orientation_of(source))
    return image if turn is None else image.transpose(turn)


def _rgb_array(image: Image.Image) -> NDArray[np.uint8]:
    """L or RGB image -> (H, W, 3) uint8, filled some rows at a time."""
    result = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in row_bands(image.height, image.width):
        rows = np.asarray(image.crop((0, top, image.width, bottom)))
        result[top:bottom] = rows if rows.ndim == 3 else rows[..., None]
    return result


def _digest_of_file(file: Any) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]


def _content(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.read()
    except OSError as error:
        raise PictureError(path, f"cannot be read: {error.strerror or error}") from error
