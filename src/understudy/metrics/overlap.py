"""Anomaly map and defect masks -> scores of good pixels, and weighted scores of defective pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from understudy.metrics.ranking import Ranking

__all__ = [
    "AUPRO_LIMIT",
    "Channel",
    "Weighed",
    "au_spro",
    "aupro",
    "by_channel",
    "by_picture",
    "by_region",
    "rank_regions",
]


_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


class Channel(NamedTuple):
    """One defect of a picture that may have several, possibly overlapping, defects.

    Attributes:
        mask: (H, W) bool, true on the defect.
        saturation: number of found pixels that counts as finding all of it, from 1 to the area of the mask.
    """

    mask: NDArray[np.bool_]
    saturation: int


class Weighed(NamedTuple):
    """Pixel scores of one picture; the arrays are copies.

    Attributes:
        good: (n,) float32 scores of pixels without defect.
        defects: (m,) float32 scores of defective pixels.
        weights: (m,) what each defective pixel adds to the overlap of its region; the weights of a region add
            up to 1.
    """

    good: NDArray[np.float32]
    defects: NDArray[np.float32]
    weights: NDArray[np.float64]


def by_picture(score: float, is_defect: bool) -> Weighed:
    """Treat a whole picture as one pixel: a tally of these has the image-level metrics."""
    scores, none = np.array([score], np.float32), np.zeros(0, np.float32)
    return Weighed(none, scores, np.ones(1)) if is_defect else Weighed(scores, none, np.zeros(0))


def by_region(
    anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> Weighed:
    """(H, W) map and mask -> pixel scores; a defective pixel weighs 1 / area of its 8-connected region.

    Args:
        anomaly_map: (H, W) map of a picture.
        mask: (H, W) bool, true on defects.
        valid: (H, W) bool, false on pixels to leave out, also of the regions; ``None`` leaves none out.

    Raises:
        ValueError: the sizes differ.
    """
    anomaly_map = _checked(anomaly_map, mask)
    bad, good = (mask, ~mask) if valid is None else (mask & valid, ~mask & valid)
    if not bad.any():
        return Weighed(anomaly_map[good], np.zeros(0, np.float32), np.zeros(0))
    labels, n = ndimage.label(bad, structure=_EIGHT_NEIGHBOURS)
    of_pixel = labels[bad]
    areas = np.bincount(of_pixel, minlength=n + 1)
    return Weighed(anomaly_map[good], anomaly_map[bad], 1 / areas[of_pixel])


def by_channel(
    anomaly_map: NDArray[np.floating], channels: Sequence[Channel], valid: NDArray[np.bool_] | None = None
) -> Weighed:
    """(H, W) map and defects that may overlap -> pixel scores, weighted for the saturated overlap.

    The overlap of a defect grows by 1 / saturation with each found pixel until it is 1. So, from the highest
    score down, that many pixels weigh 1 / saturation each, and the others weigh nothing. A pixel counts once
    for each defect that it belongs to. It is good if it belongs to none.

    Args:
        anomaly_map: (H, W) map of a picture.
        channels: defects of the picture.
        valid: (H, W) bool, false on pixels to leave out; ``None`` leaves none out. A saturation is at most
            what is left of its defect; a defect of which nothing is left does not count.

    Raises:
        ValueError: the sizes differ, or a saturation is out of range.
    """
    good = np.ones(np.shape(anomaly_map), dtype=bool) if valid is None else valid.copy()
    scores, weights = [np.zeros(0, np.float32)], [np.zeros(0)]
    for mask, saturation in channels:
        anomaly_map = _checked(anomaly_map, mask)
        ranked = np.sort(anomaly_map[mask])[::-1]
        if not 1 <= saturation <= len(ranked):
            raise ValueError(f"a defect of {len(ranked)} pixels cannot saturate at {saturation}")
        good &= ~mask
        if valid is not None:
            ranked = np.sort(anomaly_map[mask & valid])[::-1]
            saturation = min(saturation, len(ranked))
        scores.append(ranked)
        weights.append(np.where(np.arange(len(ranked)) < saturation, 1 / max(1, saturation), 0.0))
    left = np.asarray(anomaly_map, np.float32)[good]
    return Weighed(left, np.concatenate(scores), np.concatenate(weights))


def _checked(anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if np.shape(anomaly_map) != np.shape(mask):
        raise ValueError(f"map is {np.shape(anomaly_map)}, its mask {np.shape(mask)}")
    return np.asarray(anomaly_map, np.float32)


AUPRO_LIMIT = 0.3
"""Largest false-positive rate of the AUPRO, by default: that of the field."""


def aupro(
    maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.bool_]], limit: float = AUPRO_LIMIT
) -> float | None:
    """Area under the per-region overlap (PRO) curve up to a false-positive rate, divided by that rate.

    At threshold t, PRO is the mean, over all defect regions of all pictures, of the share of the region above
    t. The false-positive rate is the share of all good pixels above t, including pictures without defects.
    Every distinct score is a threshold, and the curve is interpolated linearly at the limit. Regions are
    8-connected, as in MVTec's evaluation (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021,
    section 5.2).

    Args:
        maps: (H, W) maps; sizes may differ.
        masks: (H, W) masks, true on defects.
        limit: largest false-positive rate, in (0, 1].

    Returns:
        A fraction in [0, 1]; ``None`` if there is no region or no good pixel.

    Raises:
        ValueError: a map and its mask differ in size, or the limit is out of range.
    """
    return rank_regions(maps, masks).area(limit)


def rank_regions(maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.bool_]]) -> Ranking:
    """Rank the pixels of all maps, weighted so that each region counts alike; see :func:`aupro`."""
    return _rank(by_region(m, mask) for m, mask in zip(maps, masks, strict=True))


def au_spro(
    maps: Sequence[NDArray[np.floating]], channels: Sequence[Sequence[Channel]], limit: float = 0.05
) -> float | None:
    """Area under the saturated per-region overlap (sPRO) curve up to a false-positive rate, divided by it.

    Like AUPRO, with sPRO = min(found pixels / saturation, 1) for each defect. A defect is a whole mask,
    however many parts it has. A pixel is good if it belongs to no defect of its picture (Bergmann et al.,
    "Beyond Dents and Scratches", IJCV 2022, section 4).

    Args:
        maps: (H, W) maps, at the resolution of the pictures.
        channels: defects of each picture; empty for a good picture.
        limit: largest false-positive rate, in (0, 1].

    Returns:
        A fraction in [0, 1]; ``None`` if there is no defect or no good pixel.

    Raises:
        ValueError: sizes differ, a saturation is not between 1 and the defect's area, or the limit is out of
            range.
    """
    return _rank(by_channel(m, defects) for m, defects in zip(maps, channels, strict=True)).area(limit)


def _rank(pictures: Iterable[Weighed]) -> Ranking:
    good, defects, weights = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)], [np.zeros(0)]
    for picture in pictures:
        good.append(picture.good)
        defects.append(picture.defects)
        weights.append(picture.weights)
    return Ranking.of(np.concatenate(good), np.concatenate(defects), np.concatenate(weights))
