"""One map and what is marked on it -> scores of good pixels, and weighted scores of defective ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Channel", "Weighed", "by_channel", "by_picture", "by_region"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


class Channel(NamedTuple):
    """One defect of a picture that has several.

    Attributes:
        mask: (H, W) bool, true on it.
        saturation: pixels of it that count as all of it, from 1 to its area.
    """

    mask: NDArray[np.bool_]
    saturation: int


class Weighed(NamedTuple):
    """Pixels of one picture, in arrays of their own.

    Attributes:
        good: (n,) float32 scores of pixels without defect.
        defects: (m,) float32 scores of defective pixels.
        weights: (m,) what each adds to the overlap of its region; 1 in all for each region.
    """

    good: NDArray[np.float32]
    defects: NDArray[np.float32]
    weights: NDArray[np.float64]


def by_picture(score: float, is_defect: bool) -> Weighed:
    """A whole picture as if it were one pixel: a tally of these has the image-level metrics."""
    scores, none = np.array([score], np.float32), np.zeros(0, np.float32)
    return Weighed(none, scores, np.ones(1)) if is_defect else Weighed(scores, none, np.zeros(0))


def by_region(
    anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_], care: NDArray[np.bool_] | None = None
) -> Weighed:
    """(H, W) each -> every defective pixel weighs 1 / area of its 8-connected region.

    Args:
        anomaly_map: of a picture.
        mask: true on its defects.
        care: false on pixels that are left out, also of regions; ``None`` leaves none out.

    Raises:
        ValueError: the sizes differ.
    """
    anomaly_map = _checked(anomaly_map, mask)
    bad, good = (mask, ~mask) if care is None else (mask & care, ~mask & care)
    if not bad.any():
        return Weighed(anomaly_map[good], np.zeros(0, np.float32), np.zeros(0))
    labels, n = ndimage.label(bad, structure=_EIGHT_NEIGHBOURS)
    of_pixel = labels[bad]
    areas = np.bincount(of_pixel, minlength=n + 1)
    return Weighed(anomaly_map[good], anomaly_map[bad], 1 / areas[of_pixel])


def by_channel(
    anomaly_map: NDArray[np.floating], channels: Sequence[Channel], care: NDArray[np.bool_] | None = None
) -> Weighed:
    """(H, W) map and its defects, which may overlap -> the saturated overlap of each, pixel by pixel.

    The overlap of a defect grows by 1 / saturation with each of its pixels until it is 1, from the
    highest score down: that many pixels weigh alike and the rest nothing. A pixel counts once for
    every defect that it belongs to, and as good if it belongs to none.

    Args:
        anomaly_map: of a picture.
        channels: its defects.
        care: false on pixels that are left out; a saturation beyond what is left of a defect becomes all
            that is left, and a defect of which nothing is left is left out. ``None`` leaves none out.

    Raises:
        ValueError: the sizes differ, or a saturation is out of range.
    """
    good = np.ones(np.shape(anomaly_map), dtype=bool) if care is None else care.copy()
    scores, weights = [np.zeros(0, np.float32)], [np.zeros(0)]
    for mask, saturation in channels:
        anomaly_map = _checked(anomaly_map, mask)
        found = np.sort(anomaly_map[mask])[::-1]
        if not 1 <= saturation <= len(found):
            raise ValueError(f"a defect of {len(found)} pixels cannot saturate at {saturation}")
        good &= ~mask
        if care is not None:
            found = np.sort(anomaly_map[mask & care])[::-1]
            saturation = min(saturation, len(found))
        scores.append(found)
        weights.append(np.where(np.arange(len(found)) < saturation, 1 / max(1, saturation), 0.0))
    left = np.asarray(anomaly_map, np.float32)[good]
    return Weighed(left, np.concatenate(scores), np.concatenate(weights))


def _checked(anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if np.shape(anomaly_map) != np.shape(mask):
        raise ValueError(f"map is {np.shape(anomaly_map)}, its mask {np.shape(mask)}")
    return np.asarray(anomaly_map, np.float32)
