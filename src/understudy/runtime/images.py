"""Pictures and masks: read, decode, turn upright, convert to RGB, resize."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from understudy.errors import InputError, PictureError

__all__ = [
    "PICTURE_SUFFIXES",
    "Mask",
    "Picture",
    "Size",
    "decode_picture",
    "enlarge_valid",
    "find_pictures",
    "picture_of",
    "read_bytes",
    "read_mask",
    "read_mask_values",
    "read_picture",
    "read_size",
    "resize_map",
    "resize_mask",
    "unit",
    "upright_size",
]

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 178_956_970  # Pillow's upper limit against decompression bombs

# Pillow warns above its lower limit. We decode up to the upper limit and refuse what is above it.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

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


def find_pictures(path: Path) -> list[Path]:
    """Return all pictures in a folder and its subfolders, sorted by path; for a file, the file itself.

    Raises:
        InputError: the path does not exist.
    """
    if path.is_dir():
        files = (p for p in path.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
        return sorted(p for p in files if not p.name.startswith("."))
    if not path.exists():
        raise InputError(f"{path} does not exist; name a picture or a folder of pictures")
    return [path]


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        PictureError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(path, f"cannot be read: {error.strerror or error}") from error


def read_picture(path: Path) -> Picture:
    """Decode a picture file to (H, W, 3) uint8 RGB, upright.

    16-bit values are divided by 257 and never stretched, because brightness may be the defect. Gray is
    repeated over the channels, transparency is laid over black, CMYK is converted, EXIF rotation is applied.
    Of several frames the first is taken.

    Raises:
        PictureError: the file is missing, is no picture, is cut short, is too large, or has float pixels.
    """
    return decode_picture(read_bytes(path), path)


def decode_picture(data: bytes, path: Path) -> Picture:
    """Decode the content of a picture file; see :func:`read_picture`.

    Args:
        data: content of the file.
        path: name for errors.
    """
    return _as_array(_open(data, path), path)


def picture_of(source: NDArray[np.generic] | Image.Image, name: Path) -> Picture:
    """Convert a picture in memory to (H, W, 3) uint8 RGB; see :func:`read_picture`.

    Args:
        source: PIL image, or array: (H, W), (H, W, 3) or (H, W, 4) uint8, or (H, W) uint16.
        name: name for errors.

    Raises:
        PictureError: an array of another shape or type, or an image that does not decode.
    """
    if isinstance(source, Image.Image):
        return _as_array(source, name)
    deep = source.ndim == 3 and source.shape[2] in (3, 4) and source.dtype == np.uint8
    flat = source.ndim == 2 and source.dtype in (np.uint8, np.uint16)
    if not (deep or flat) or not source.size:
        raise PictureError(
            name,
            f"is an array of {source.dtype} and shape {source.shape}; give (H, W) or (H, W, 3) uint8, or "
            "(H, W) uint16",
        )
    return np.array(_to_rgb(Image.fromarray(source), name), dtype=np.uint8)


def read_mask(path: Path, size: tuple[int, int] | None = None) -> Mask:
    """Decode a mask file to (H, W) bool, true where the value is not zero; see :func:`read_mask_values`."""
    return np.asarray(read_mask_values(path, size) != 0)


def read_mask_values(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.generic]:
    """Decode a mask file to (H, W) values; of several colour channels the largest value, without alpha.

    Args:
        path: mask file.
        size: (height, width) of its picture; ``None`` accepts any size.

    Raises:
        PictureError: the mask does not decode, or has another size than its picture.
    """
    image = _open(read_bytes(path), path)
    try:
        values = np.array(image)
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise PictureError(path, f"is a mask that does not decode: {error}; replace or remove it") from error
    if image.mode in ("RGBA", "LA"):
        values = values[..., :-1]
    if values.ndim == 3:
        values = values.max(axis=2)
    if size is not None and values.shape != size:
        (mh, mw), (ph, pw) = values.shape, size
        raise PictureError(
            path, f"is a mask of {mw}x{mh}, its picture is {pw}x{ph}: save it at its picture's size"
        )
    return values


def read_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a picture, upright, from its file's header; (0, 0) if it is no picture."""
    try:
        with Image.open(path) as image:
            return upright_size(image)
    except Exception:  # a damaged file makes decoders raise almost anything
        return 0, 0


def resize_map(anomaly_map: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) map -> map of ``size`` = (height, width), bilinear."""
    height, width = size
    return np.asarray(Image.fromarray(anomaly_map).resize((width, height), Image.Resampling.BILINEAR))


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


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the (height, width) that :func:`decode_picture` would give an opened picture; decodes nothing.

    EXIF data after the pixels are not read.
    """
    try:
        exif = Image.Image.getexif(image)  # PNG's own method would decode the picture
        sideways = exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
    except Exception:  # damaged EXIF data are ignored, as in decoding
        sideways = False
    return image.size if sideways else image.size[::-1]


def _open(data: bytes, path: Path) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise PictureError(
            path,
            f"has more than {MAX_PIXELS // 10**6} million pixels, the most that is decoded; "
            "cut it into several files",
        ) from error
    except UnidentifiedImageError as error:
        raise PictureError(path, "is no picture that can be decoded; replace or remove it") from error
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise PictureError(path, f"does not decode: {error}; replace or remove it") from error


def _as_array(image: Image.Image, path: Path) -> Picture:
    try:
        image.load()
        return np.array(_to_rgb(_upright(image), path), dtype=np.uint8)
    except PictureError:
        raise
    except Exception as error:  # a damaged file makes decoders raise almost anything
        raise PictureError(path, f"does not decode: {error}; replace or remove it") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF data say; damaged EXIF data are ignored."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray(np.clip(wide // 257, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise PictureError(path, "has floating-point pixels of unknown range; save it as 8 or 16 bit")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba).convert("RGB")
    return image.convert("RGB")
