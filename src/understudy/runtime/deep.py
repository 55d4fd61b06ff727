"""Values of pictures with more than 8 bits a channel, also of colours, of which Pillow keeps 8 bits."""

from __future__ import annotations

import sys
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.runtime.depth import row_bands
from understudy.runtime.headers import load_image, open_image

__all__ = ["Deep", "deep_values", "is_deep", "is_deep_colour", "is_deep_file"]

_FLAT = (b"\xff\xd8\xff", b"BM", b"RIFF", b"GIF8")  # beginnings of files that never are deep
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_BITS = 24  # place of the number of bits in a PNG
_BITS, _FORMAT = 258, 339  # tags of a TIFF
_UNSIGNED = (1,)  # a value of _FORMAT
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_INTERLEAVED = ("RGB;16", "RGBX;16", "RGBA;16")


class Deep(NamedTuple):
    """Values of a deep picture, as they are stored.

    Attributes:
        colour: (H, W) or (H, W, 3) integers or floating-point values.
        alpha: (H, W) opacity, full at 65535; ``None`` without transparency.
    """

    colour: NDArray[Any]
    alpha: NDArray[Any] | None = None


def is_deep_file(file: IO[bytes]) -> bool:
    """Tell from the first bytes of a file whether it may be deep; no decoder is asked."""
    file.seek(0)
    start = file.read(_PNG_BITS + 1)
    if start.startswith(_PNG):
        return start[_PNG_BITS:] == b"\x10"
    return not start.startswith(_FLAT)


def is_deep(image: Image.Image) -> bool:
    """Tell whether an opened picture has more than 8 bits a channel."""
    return image.mode.startswith(("I", "F")) or is_deep_colour(image)


def is_deep_colour(image: Image.Image) -> bool:
    """Tell whether an opened picture has colours of 16 bits, of which Pillow keeps 8.

    An image that somebody else has decoded already tells it only if it is a TIFF.
    """
    if image.mode not in ("RGB", "RGBA", "LA"):
        return False
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        return 16 in tags.get(_BITS, ())
    tiles: Any = getattr(image, "tile", None)
    return image.format == "PNG" and bool(tiles) and str(tiles[0][3]).endswith(";16B")


def deep_values(image: Image.Image, file: IO[bytes]) -> Deep:
    """Return the values of a deep picture, not turned.

    Args:
        image: the picture as it was opened; it is decoded.
        file: its file; used for colours only.

    Raises:
        ValueError: the file is of a kind that is not read. A damaged file may raise anything.
    """
    if is_deep_colour(image):
        return _deep_colour(image, file)
    load_image(image)
    values = _values(image)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(_BITS) == (32,) and tags.get(_FORMAT, _UNSIGNED) == _UNSIGNED:
        values = values.view(np.uint32)
    return Deep(values)


def _deep_colour(high: Image.Image, file: IO[bytes]) -> Deep:
    """Decode colours of 16 bits.

    Pillow keeps the byte that its raw mode calls the high one. So the file is decoded twice, in both orders
    of bytes. Gray with opacity, four bytes a pixel, is decoded once, as if they were four channels.
    """
    raw = _raw_mode(high)
    if raw == "LA;16B":
        _set_raw_mode(high, "RGBA")
        values = _values(high).astype(np.uint16)
        return Deep(values[..., 0] << 8 | values[..., 1], values[..., 2] << 8 | values[..., 3])
    if not raw.startswith(_INTERLEAVED):
        raise ValueError("colours of 16 bits are read from files that store the channels of a pixel together")
    load_image(high)
    low = open_image(file)
    _set_raw_mode(low, raw[:-1] + _OTHER_BYTE[raw[-1]])
    load_image(low)
    values = np.empty((high.height, high.width, len(high.getbands())), np.uint16)
    for (top, bottom), first, second in zip(
        row_bands(high.height, high.width), _bands(high), _bands(low), strict=True
    ):
        values[top:bottom] = first
        values[top:bottom] <<= 8
        values[top:bottom] |= second
    return Deep(values[..., :3], values[..., 3] if high.mode == "RGBA" else None)


def _raw_mode(image: Image.Image) -> str:
    arguments = image.tile[0][3]  # type: ignore[attr-defined]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _set_raw_mode(image: Image.Image, raw: str) -> None:
    tiles: Any = getattr(image, "tile", [])
    rest = [tile.args[1:] if isinstance(tile.args, tuple) else None for tile in tiles]
    changed = [
        tile._replace(args=raw if more is None else (raw, *more))
        for tile, more in zip(tiles, rest, strict=True)
    ]
    image.tile = changed  # type: ignore[attr-defined]


def _bands(image: Image.Image) -> Any:
    """Yield the values of some rows at a time."""
    for top, bottom in row_bands(image.height, image.width):
        yield np.asarray(image.crop((0, top, image.width, bottom)))


def _values(image: Image.Image) -> NDArray[Any]:
    """Return the (H, W) or (H, W, channels) values of an image, copied some rows at a time."""
    load_image(image)
    result: NDArray[Any] = np.empty(0)
    for (top, bottom), rows in zip(row_bands(image.height, image.width), _bands(image), strict=True):
        if not top:
            result = np.empty((image.height, *rows.shape[1:]), rows.dtype.newbyteorder("="))
        result[top:bottom] = rows
    return result
