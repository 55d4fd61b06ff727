"""Pictures from files and memory as RGB of 8 bits; resizing of maps and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import PictureError
from understudy.runtime.decoding import (
    decode_data,
    decode_file,
    decode_image,
    size_of,
)
from understudy.runtime.depth import Depth, to_eight_bits
from understudy.runtime.headers import open_regular

__all__ = [
    "PICTURE_SUFFIXES",
    "Mask",
    "Picture",
    "Size",
    "decode_picture",
    "enlarge_valid",
    "lower_ignored",
    "picture_of",
    "read_bytes",
    "read_picture",
    "read_size",
    "resize_map",
    "resize_mask",
    "unit",
]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})

Size = tuple[int, int]
"""(height, width) in pixels."""

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB values; a window may have a fourth channel, its valid mask."""
Mask = NDArray[np.bool_]
"""(H, W), true where a pixel counts or shows a defect."""


def unit(pictures: Picture | NDArray[np.float32]) -> NDArray[np.float32]:
    """uint8 -> float32 in [0, 1], of the same shape; float32 input is returned as it is."""
    if pictures.dtype == np.float32:
        return np.asarray(pictures, np.float32)
    return pictures.astype(np.float32) / np.float32(255)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        PictureError: the file cannot be read, or is a pipe or a device, which may block.
    """
    with open_regular(path) as (file, _):
        try:
            return file.read()
        except OSError as error:
            raise PictureError(path, f"cannot be read: {error.strerror or error}") from error
        except MemoryError as error:
            raise PictureError(path, "is larger than the memory that is free; free some") from error


def read_picture(path: Path, depth: Depth | None = None) -> Picture:
    """Decode a picture file to (H, W, 3) uint8 RGB, upright.

    Values of more than 8 bits become 8 bits by a fixed factor, see
    :func:`understudy.runtime.depth.to_eight_bits`, and are never stretched, because brightness may be the
    defect. Gray is repeated over the channels, transparency is laid over black, CMYK is converted, EXIF
    rotation is applied, a colour profile is not. Of several frames the first is taken.

    Args:
        path: picture file.
        depth: range of deep pictures, as the model records it; ``None`` takes 16 bits.

    Raises:
        PictureError: the file is missing, is no picture, is cut short, is too large for the limit or for the
            memory, or has values outside of the depth.
    """
    return decode_file(path, depth).picture


def decode_picture(data: bytes, path: Path, depth: Depth | None = None) -> Picture:
    """Decode the content of a picture file; see :func:`read_picture`.

    Args:
        data: content of the file.
        path: name for errors.
        depth: range of deep pictures.
    """
    return decode_data(data, path, depth).picture


def picture_of(source: NDArray[np.generic] | Image.Image, name: Path, depth: Depth | None = None) -> Picture:
    """Convert a picture in memory to (H, W, 3) uint8 RGB; see :func:`read_picture`.

    Args:
        source: PIL image, or array: (H, W), (H, W, 3) or (H, W, 4) uint8; or (H, W) or (H, W, 3) of deeper
            integers, such as uint16, or of floating-point values.
        name: name for errors.
        depth: range of deep arrays and images.

    Raises:
        PictureError: an array of another shape or type, an image that does not decode, or values outside of
            the depth.
    """
    if isinstance(source, Image.Image):
        return decode_image(source, name, depth)
    eight = source.dtype == np.uint8
    shaped = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in ((3, 4) if eight else (3,)))
    if not shaped or not source.size or not (eight or _is_deep_type(source.dtype)):
        raise PictureError(
            name,
            f"is an array of {source.dtype} and shape {source.shape}; give (H, W) or (H, W, 3) uint8, uint16 "
            "or float32",
        )
    values = np.asarray(source, np.uint8) if eight else to_eight_bits(source, depth, name)
    return decode_image(Image.fromarray(values), name)


def _is_deep_type(kind: np.dtype[np.generic]) -> bool:
    return kind.kind == "f" or (kind.kind in "ui" and kind.itemsize in (2, 4))


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a picture, upright, from its file's header; (0, 0) if it is no picture."""
    try:
        with open_regular(path) as (file, _):
            return size_of(file)
    except Exception:  # a damaged file makes decoders raise almost anything
        return 0, 0


def resize_map(anomaly_map: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) map -> map of ``size`` = (height, width), bilinear."""
    height, width = size
    return np.asarray(Image.fromarray(anomaly_map).resize((width, height), Image.Resampling.BILINEAR))


def lower_ignored(anomaly_map: NDArray[np.float32], valid: Mask | None) -> NDArray[np.float32]:
    """(h, w) map -> the same array; pixels that do not count have its lowest value that does."""
    if valid is not None:
        anomaly_map[~valid] = anomaly_map.min(where=valid, initial=np.inf)
    return anomaly_map


def enlarge_valid(valid: Mask, size: tuple[int, int]) -> Mask:
    """(h, w) valid mask -> mask of ``size`` = (height, width), nearest neighbour."""
    return np.asarray(Image.fromarray(valid).resize((size[1], size[0]), Image.Resampling.NEAREST))


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """(H, W) mask -> mask of ``size`` = (height, width), true where at least half of a pixel is covered.

    A defect that would vanish keeps the pixels that it covers most.
    """
    if mask.shape == size or not mask.any():
        return mask if mask.shape == size else np.zeros(size, dtype=bool)
    image = Image.fromarray(mask.astype(np.float32))
    covered = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    return np.asarray(covered >= min(0.5, float(covered.max())))
