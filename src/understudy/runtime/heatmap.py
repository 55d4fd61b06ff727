"""Anomaly map -> colours laid over the picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.runtime.depth import row_bands
from understudy.runtime.images import resize_map

__all__ = ["colour_span", "heatmap", "outline", "overlay_png"]

# Dark blue, violet, red, orange, pale yellow: brightness rises all the way, so it survives a grey print.
_COLOURS = np.array(
    [[8, 8, 48], [88, 16, 120], [190, 40, 90], [245, 130, 30], [255, 245, 170]], dtype=np.float32
)

_STEPS = 256  # colours of a palette


def colour_span(limit: float | None, peaks: Sequence[float]) -> tuple[float, float]:
    """Return the map values of the darkest and the brightest colour, the same for pictures to compare.

    With a limit, colour begins well below it and is brightest well above it. Without one, the median and the
    maximum of the peaks set the span.

    Args:
        limit: value above which a region of the map is a defect; ``None`` if the model is not calibrated.
        peaks: highest values of the maps; used without a limit only.
    """
    if limit is not None:
        return 0.5 * limit, 1.6 * limit
    return 0.6 * float(np.median(peaks)), float(np.max(peaks))


def heatmap(
    picture: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    strength: float = 0.65,
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 picture and (h, w) map -> (H, W, 3) uint8 picture with the map laid over in colour.

    Args:
        picture: picture that was inspected.
        anomaly_map: map of any resolution; it is enlarged to the picture.
        low: map value of the darkest colour, which is fully transparent.
        high: map value of the brightest colour.
        strength: opacity at ``high``, in [0, 1].
    """
    height, width, _ = picture.shape
    large = resize_map(anomaly_map, (height, width))
    result = np.empty_like(picture)
    for top, bottom in row_bands(height, width):
        result[top:bottom] = _coloured(picture[top:bottom], large[top:bottom], low, high, strength)
    return result


def _coloured(
    picture: NDArray[np.uint8], anomaly_map: NDArray[np.float32], low: float, high: float, strength: float
) -> NDArray[np.uint8]:
    colour, level = _colours(anomaly_map, low, high)
    alpha = strength * level[..., None]
    return np.asarray(picture * (1 - alpha) + colour * alpha, dtype=np.uint8)


def overlay_png(anomaly_map: NDArray[np.float32], low: float, high: float, strength: float = 0.65) -> bytes:
    """(h, w) map -> PNG of a palette with transparency; enlarged and laid over the picture a :func:`heatmap`.

    Args:
        anomaly_map: map of any resolution; values that are no number are transparent.
        low: map value of the darkest colour, which is fully transparent.
        high: map value of the brightest colour.
        strength: opacity at ``high``, in [0, 1].
    """
    colour, level = _colours(np.linspace(0, 1, _STEPS, dtype=np.float32), 0, 1)
    scaled = np.clip((anomaly_map - low) / max(high - low, 1e-12), 0, 1) * (_STEPS - 1)
    image = Image.fromarray(np.nan_to_num(scaled).astype(np.uint8)).copy()
    image.putpalette(colour.astype(np.uint8).tobytes())
    file = io.BytesIO()
    transparency = (255 * strength * level).astype(np.uint8).tobytes()
    image.save(file, "PNG", compress_level=1, transparency=transparency)
    return file.getvalue()


def _colours(
    anomaly_map: NDArray[np.float32], low: float, high: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the (h, w, 3) colours of a map and its (h, w) levels in [0, 1]."""
    level = np.clip((anomaly_map - low) / max(high - low, 1e-12), 0, 1)
    at = level * (len(_COLOURS) - 1)
    below = np.minimum(at.astype(int), len(_COLOURS) - 2)
    part = (at - below)[..., None]
    return _COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part, level


def outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W, 3) picture and (H, W) mask -> picture with the mask's border in green, two pixels wide."""
    inner = mask.copy()
    for _ in range(2):
        padded = np.pad(inner, 1)
        inner &= padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    drawn = picture.copy()
    drawn[mask & ~inner] = (60, 230, 90)
    return drawn
