"""Anomaly map -> overlay picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.decision import Thresholds
from understudy.runtime.images import resize_map

__all__ = ["colour_span", "heatmap", "outline"]

# Dark blue, violet, red, orange, pale yellow: brightness rises all the way, so it survives a grey print.
_COLOURS = np.array(
    [[8, 8, 48], [88, 16, 120], [190, 40, 90], [245, 130, 30], [255, 245, 170]], dtype=np.float32
)


def colour_span(thresholds: Thresholds | None, scores: Sequence[float]) -> tuple[float, float]:
    """Map values of the darkest and the brightest colour, one span for pictures to compare.

    With thresholds, colour begins well below what passes and is brightest well above what fails;
    without, the scores' median and maximum stand in for them.
    """
    if thresholds:
        return 0.6 * thresholds.review_above, 1.6 * thresholds.fail_above
    return 0.6 * float(np.median(scores)), float(np.max(scores))


def heatmap(
    picture: NDArray[np.uint8],
    anomaly_map: NDArray[np.float32],
    low: float,
    high: float,
    strength: float = 0.65,
) -> NDArray[np.uint8]:
    """(H, W, 3) picture and (h, w) map -> (H, W, 3) uint8 with the map's colours laid over.

    Args:
        picture: what was inspected.
        anomaly_map: of any resolution; it is enlarged to the picture.
        low: map value of the darkest colour, and fully transparent.
        high: map value of the brightest one.
        strength: opacity at ``high``, in [0, 1].
    """
    large = resize_map(anomaly_map, (picture.shape[0], picture.shape[1]))
    level = np.clip((large - low) / max(high - low, 1e-12), 0, 1)
    at = level * (len(_COLOURS) - 1)
    below = np.minimum(at.astype(int), len(_COLOURS) - 2)
    part = (at - below)[..., None]
    colour = _COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part
    alpha = strength * level[..., None]
    return np.asarray(picture * (1 - alpha) + colour * alpha, dtype=np.uint8)


def outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(H, W, 3) picture with the border of an (H, W) mask drawn in green, two pixels wide."""
    inner = mask.copy()
    for _ in range(2):
        padded = np.pad(inner, 1)
        inner &= padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    drawn = picture.copy()
    drawn[mask & ~inner] = (60, 230, 90)
    return drawn
