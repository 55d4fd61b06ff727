"""How bright and how sharp a canvas is: what changes first when a lamp ages or a lens gets dirty."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.images import Mask, Picture

__all__ = ["brightness", "sharpness"]

LUMA = (77, 150, 29)
"""Weights of red, green and blue in the luminance (ITU-R BT.601), in 256ths."""

ROUNDING = 1 / 12
"""Variance of the error of whole gray values; keeps the ratio finite where a picture is flat."""


def brightness(canvas: Picture, valid: Mask | None = None) -> float:
    """(h, w, 3) canvas -> mean luminance in [0, 1]; NaN if no pixel counts.

    Args:
        canvas: picture as the model sees it.
        valid: (h, w) mask, false where a pixel does not count; ``None`` if all pixels count.
    """
    if valid is None:
        columns = canvas.reshape(len(canvas), -1).sum(axis=0, dtype=np.uint32).reshape(-1, 3)
        sums, n = columns.sum(axis=0, dtype=np.int64), canvas.shape[0] * canvas.shape[1]
    else:
        sums, n = canvas[valid].sum(axis=0, dtype=np.int64), int(valid.sum())
    return float(np.dot(sums, LUMA)) / (256 * 255 * n) if n else math.nan


def sharpness(canvas: Picture, valid: Mask | None = None) -> float:
    """(h, w, 3) canvas -> log of the share of fine detail; NaN if it has no 3x3 pixels that count.

    It is log(var(L) / var(Y)), with the luminance Y and its Laplacian L, the four neighbours minus four times
    the pixel. Both variances grow alike with brightness and contrast, so light alone does not change it.

    Args:
        canvas: picture as the model sees it.
        valid: (h, w) mask, false where a pixel does not count; ``None`` if all pixels count.
    """
    gray = _gray(canvas)
    inner = gray[1:-1, 1:-1]
    laplacian = gray[1:-1, :-2] + gray[1:-1, 2:] + gray[:-2, 1:-1] + gray[2:, 1:-1] - 4 * inner
    if valid is not None:
        whole = valid[1:-1, :-2] & valid[1:-1, 2:] & valid[:-2, 1:-1] & valid[2:, 1:-1] & valid[1:-1, 1:-1]
        laplacian, inner = laplacian[whole], inner[whole]
    if not inner.size:
        return math.nan
    return math.log((_variance(laplacian) + ROUNDING) / (_variance(inner) + ROUNDING))


def _gray(canvas: Picture) -> NDArray[np.int16]:
    """(h, w, 3) canvas -> (h, w) luminance in [0, 255], rounded down."""
    total = np.zeros(canvas.shape[:2], np.uint16)  # at most 256 * 255
    for channel, weight in enumerate(LUMA):
        part = canvas[..., channel].astype(np.uint16)
        part *= weight
        total += part
    total >>= 8
    return total.view(np.int16)


def _variance(values: NDArray[np.int16]) -> float:
    flat = values.astype(np.float32).ravel()
    mean = float(flat.mean(dtype=np.float64))
    return max(float(np.dot(flat, flat)) / flat.size - mean**2, 0.0)
