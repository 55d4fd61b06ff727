"""Pictures of more than 8 bits a channel: how deep they are, and how they become 8 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from understudy.errors import PictureError

__all__ = ["DEPTHS", "ROOM", "Depth", "bits_of", "row_bands", "to_eight_bits"]

DEPTHS: tuple[int, ...] = (8, 10, 12, *range(14, 33, 2))
"""Bits of a channel that are recognised."""

ROOM = 1.05
"""A floating-point value up to this many times white is white: resampling and flat fields overshoot."""

_BAND = 2**20  # values that are converted at a time; bounds the memory


class Depth(BaseModel):
    """Range of the values of deep pictures, which have more than 8 bits a channel. 0 is black in all of them.

    Pictures of 8 bits are not touched by it.

    Attributes:
        bits: bits of a channel, from 8 to 32: white is 2**bits - 1, whatever the type in the file.
        white: value of white in pictures with floating-point pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bits: int = Field(default=16, ge=8, le=32)
    white: float = Field(default=1.0, gt=0, allow_inf_nan=False)

    @property
    def top(self) -> int:
        """Value of white in pictures with whole numbers."""
        return (2 << (self.bits - 1)) - 1


_SIXTEEN = Depth()


def bits_of(value: float) -> int:
    """Return the smallest depth whose white is not below a value."""
    return next((bits for bits in DEPTHS if value <= 2**bits - 1), DEPTHS[-1])


def row_bands(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Divide the rows of a picture into bands of about a million pixels; yields (first row, row after)."""
    rows = max(1, _BAND // max(1, width))
    return ((top, min(height, top + rows)) for top in range(0, height, rows))


def to_eight_bits(values: NDArray[np.generic], depth: Depth | None, path: Path) -> NDArray[np.uint8]:
    """(H, W) or (H, W, 3) values of a deep picture -> uint8 of the same shape.

    Whole numbers become ``value * 255 // (2**bits - 1)``, floating-point values ``value * 255 / white``,
    rounded. Nothing is stretched or clipped, because brightness may be the defect; only floating-point values
    up to 5 % above white are white, in a training and at scoring alike.

    Args:
        values: integer or floating-point values.
        depth: their range; ``None`` takes 16 bits and clips, as models did before they recorded a depth.
        path: name of the picture, for errors.

    Raises:
        PictureError: a value is outside of the range, or no number.
    """
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    result = np.empty(values.shape, np.uint8)
    bands = row_bands(values.shape[0], values[0].size if values.size else 1)
    if values.dtype.kind == "f":
        white = (depth or _SIXTEEN).white
        if not (low >= 0 and high <= white * ROOM):  # also true if one of them is no number
            _refuse_float(float(low), float(high), white, path)
        for top, bottom in bands:
            real = values[top:bottom].astype(np.float64) * (255 / white)
            result[top:bottom] = np.rint(np.minimum(real, 255))
        return result
    if depth is None:
        for top, bottom in bands:
            result[top:bottom] = np.clip(values[top:bottom].astype(np.int64) // 257, 0, 255)
        return result
    if low < 0 or high > depth.top:
        _refuse(int(low), int(high), depth, path)
    kind = np.uint32 if depth.bits <= 16 else np.int64  # holds 255 times the largest value
    for top, bottom in bands:
        scaled: NDArray[Any] = values[top:bottom].astype(kind)
        scaled *= 255
        scaled //= depth.top
        result[top:bottom] = scaled
    return result


def _refuse(low: int, high: int, depth: Depth, path: Path) -> NoReturn:
    if low < 0:
        raise PictureError(
            path, f"has the value {low}, and black is 0; save it with values from 0 to {depth.top}"
        )
    raise PictureError(
        path,
        f"has the value {high}, beyond the {depth.bits} bits (0 to {depth.top}) of the pictures learned "
        f"from; save it in that range, or train with --bit-depth {bits_of(high)}",
    )


def _refuse_float(low: float, high: float, white: float, path: Path) -> NoReturn:
    if not np.isfinite([low, high]).all():
        raise PictureError(path, "has a pixel that is no finite number; save it without such pixels")
    wrong = low if low < 0 else high
    raise PictureError(
        path,
        f"has the floating-point value {wrong:g}, and black is 0 and white {white:g} in the pictures learned "
        "from; save it in that range",
    )
