"""Pictures whose pixels are known, in every mode and format; PNG chunks by hand."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Drawn:
    """A picture file and what it shows.

    Attributes:
        data: content of the file.
        suffix: usual suffix of its format.
        rgb: (H, W, 3) uint8 that it must decode to; ``None`` if it may only be refused or decode to anything.
        tolerance: largest difference of a value that rounding explains.
        checked: whether the format has a checksum, so that every damage of the pixels can be seen.
        deep: (H, W) or (H, W, 3) values of more than 8 bits, if it has such.
        refused: why it must be refused, if it must.
    """

    data: bytes
    suffix: str
    rgb: NDArray[np.uint8] | None
    tolerance: int = 0
    checked: bool = False
    deep: NDArray[np.generic] | None = None
    refused: str | None = None


def scene(rng: Random) -> NDArray[np.uint8]:
    """(H, W, 3) smooth colours with a bright box, of any small size."""
    height, width = rng.randint(17, 96), rng.randint(17, 96)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [rng.uniform(0, 6) for _ in range(6)]
    colours = [127 + 120 * np.sin(waves[2 * c] * x + waves[2 * c + 1] * y) for c in range(3)]
    picture = np.stack(colours, axis=2).astype(np.uint8)
    picture[5:12, 4:15] = [rng.randrange(256) for _ in range(3)]
    return picture


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    """Return the content of a picture's file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk with a fitting checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk."""
    at = len(SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def deep_png(values: NDArray[np.uint16]) -> bytes:
    """(H, W) or (H, W, 3) uint16 -> PNG of 16 bits a channel."""
    height, width = values.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if values.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks)


def _plain(rng: Random) -> Drawn:
    rgb = scene(rng)
    form, suffix, options = rng.choice(
        (
            ("PNG", ".png", {}),
            ("PNG", ".png", {"compress_level": 0}),
            ("BMP", ".bmp", {}),
            ("TIFF", ".tif", {}),
            ("TIFF", ".tiff", {"compression": rng.choice(("tiff_lzw", "tiff_deflate", "packbits"))}),
            ("WEBP", ".webp", {"lossless": True}),
        )
    )
    return Drawn(encode(Image.fromarray(rgb), form, **options), suffix, rgb, checked=form == "PNG")


def _jpeg(rng: Random) -> Drawn:
    mode = rng.choice(("RGB", "L", "CMYK", "YCbCr"))
    data = encode(
        Image.fromarray(scene(rng)).convert(mode),
        "JPEG",
        quality=rng.randint(20, 100),
        progressive=rng.random() < 0.3,
    )
    return Drawn(data, ".jpg", np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def _gray(rng: Random) -> Drawn:
    gray = scene(rng)[..., 0]
    form, suffix = rng.choice((("PNG", ".png"), ("BMP", ".bmp"), ("TIFF", ".tif")))
    rgb = np.repeat(gray[..., None], 3, axis=2)
    return Drawn(encode(Image.fromarray(gray), form), suffix, rgb, checked=form == "PNG")


def _bilevel(rng: Random) -> Drawn:
    bits = scene(rng)[..., 0] > 127
    rgb = np.repeat((bits * np.uint8(255))[..., None], 3, axis=2)
    return Drawn(encode(Image.fromarray(bits), "PNG"), ".png", rgb, checked=True)


def _palette(rng: Random) -> Drawn:
    image = Image.fromarray(scene(rng)).quantize(rng.choice((2, 16, 256)))
    return Drawn(encode(image, "PNG"), ".png", np.asarray(image.convert("RGB")), checked=True)


def _alpha(rng: Random) -> Drawn:
    rgb = scene(rng)
    alpha = np.full(rgb.shape[:2], rng.choice((0, 1, 128, 255)), np.uint8)
    alpha[: len(alpha) // 2] = 255
    gray = rng.random() < 0.4
    shown = np.repeat(rgb[..., :1], 3, axis=2) if gray else rgb
    image = Image.fromarray(np.dstack([shown[..., :1] if gray else rgb, alpha]), "LA" if gray else "RGBA")
    over_black = np.rint(shown * (alpha[..., None] / 255)).astype(np.uint8)
    return Drawn(encode(image, "PNG"), ".png", over_black, tolerance=1, checked=True)


def _deep_gray(rng: Random) -> Drawn:
    bits = rng.choice((8, 10, 12, 14, 16))
    values = (scene(rng)[..., 0].astype(np.uint16) * ((2**bits - 1) // 255)).astype(np.uint16)
    if rng.random() < 0.5:
        return Drawn(deep_png(values), ".png", None, tolerance=1, checked=True, deep=values)
    wide = rng.random() < 0.5
    image = Image.fromarray(values.astype(np.int32) if wide else values)
    return Drawn(encode(image, "TIFF"), ".tif", None, tolerance=1, deep=values)


def _deep_colour(rng: Random) -> Drawn:
    values = scene(rng).astype(np.uint16) * rng.choice((1, 16, 257))
    return Drawn(deep_png(values), ".png", None, tolerance=1, checked=True, deep=values)


def _float(rng: Random) -> Drawn:
    rgb = scene(rng)
    values = rgb[..., 0].astype(np.float32) / 255
    odd = rng.choice((None, None, np.nan, np.inf, -1, 255))
    if odd is not None:
        values[3:5] = odd
    gray = np.repeat(rgb[..., :1], 3, axis=2)
    refused = None if odd is None else f"the value {odd} was accepted"
    return Drawn(encode(Image.fromarray(values), "TIFF"), ".tif", gray, tolerance=1, refused=refused)


def _odd_mode(rng: Random) -> Drawn:
    image = Image.fromarray(scene(rng)).convert(rng.choice(("CMYK", "YCbCr", "LAB", "HSV")))
    try:
        return Drawn(encode(image, "TIFF"), ".tif", None)
    except OSError:  # HSV has no file
        return Drawn(encode(image.convert("RGB"), "GIF"), ".png", None)


DRAWINGS: tuple[Callable[[Random], Drawn], ...] = (
    _plain,
    _plain,
    _jpeg,
    _gray,
    _bilevel,
    _palette,
    _alpha,
    _deep_gray,
    _deep_colour,
    _float,
    _odd_mode,
)


def draw(rng: Random) -> Drawn:
    """Draw a picture in any mode and format."""
    return rng.choice(DRAWINGS)(rng)
