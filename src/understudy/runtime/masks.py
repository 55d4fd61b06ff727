"""Masks of defects: which pixels a file marks, and with which value."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.errors import PictureError
from understudy.runtime.decoding import opened
from understudy.runtime.deep import deep_values, is_deep
from understudy.runtime.headers import has_alpha, load_image
from understudy.runtime.images import Mask, Size

__all__ = ["looks_inverted", "read_mask", "read_mask_values"]

_HALF = 128  # smaller values of a lossy file are smeared edges, smaller opacity does not show
_MOSTLY = 0.9  # share of marked pixels from which on a mask may be inverted


def read_mask(path: Path, size: Size | None = None) -> Mask:
    """Decode a mask file to (H, W) bool, true where the value is not zero; see :func:`read_mask_values`."""
    return np.asarray(read_mask_values(path, size) != 0)


def read_mask_values(path: Path, size: Size | None = None) -> NDArray[Any]:
    """Decode a mask file to (H, W) values; 0 is not marked.

    Gray values are kept as they are. Of a colour the largest of red, green and blue counts, also of a palette
    and of CMYK. A transparent pixel is not marked; if all visible pixels have one colour, each of them is
    marked, whatever the colour. In a file with lossy compression, values below 128 become 0.

    Args:
        path: mask file.
        size: (height, width) of its picture; ``None`` accepts any size.

    Raises:
        PictureError: the mask does not decode, is damaged, has another size than its picture or values that
            are no numbers.
    """
    with opened(path) as (image, file):
        _require_size(path, (image.height, image.width), size)
        values = _values(image, file)
        if _is_lossy(image, file):
            values = np.where(values >= _HALF, values, 0)
    _require_size(path, values.shape, size)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise PictureError(path, "is a mask with pixels that are no finite numbers; save it as gray PNG")
    return values


def looks_inverted(mask: Mask) -> bool:
    """Tell whether a mask marks the whole border and nearly everything, as if good pixels were marked."""
    border = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    return bool(mask.mean() > _MOSTLY) and all(side.all() for side in border)


def _values(image: Image.Image, file: IO[bytes]) -> NDArray[Any]:
    if is_deep(image):
        deep = deep_values(image, file)
        return _visible(_largest(deep.colour), None if deep.alpha is None else deep.alpha // 257)
    load_image(image)
    if has_alpha(image):
        rgba = np.asarray(image.convert("RGBA"))
        return _visible(_largest(rgba[..., :3]), rgba[..., 3])
    return _largest(np.asarray(image if image.mode in ("1", "L") else image.convert("RGB")))


def _largest(values: NDArray[Any]) -> NDArray[Any]:
    """(H, W) or (H, W, channels) -> (H, W), the largest of the channels."""
    return values if values.ndim == 2 else np.asarray(values.max(axis=2))


def _visible(values: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Values with 0 where a pixel is transparent; one colour alone marks all that is visible."""
    if alpha is None:
        return values
    shows = np.asarray(alpha >= _HALF)
    if shows.all() or not shows.any():  # opacity says nothing
        return values
    colours = np.unique(values[shows])
    if len(colours) == 1 and not colours[0]:
        return np.where(shows, 255, 0).astype(np.uint8)
    return np.where(shows, values, 0)


def _require_size(path: Path, found: tuple[int, ...], size: Size | None) -> None:
    if size is not None and found != size:
        (mh, mw), (ph, pw) = found, size
        raise PictureError(
            path, f"is a mask of {mw}x{mh}, its picture is {pw}x{ph}: save it at its picture's size"
        )


def _is_lossy(image: Image.Image, file: IO[bytes]) -> bool:
    if image.format == "WEBP":
        file.seek(0)
        return b"VP8L" not in file.read()
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in ("jpeg", "tiff_jpeg")
