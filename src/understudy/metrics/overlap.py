"""One map and what is marked on it -> scores of good pixels, and weighted scores of defective ones."""

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
    anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None
) -> Weighed:
    """(H, W) each -> every defective pixel weighs 1 / area of its 8-connected region.

    Args:
        anomaly_map: of a picture.
        mask: true on its defects.
        valid: false on pixels that are left out, also of regions; ``None`` leaves none out.

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
    """(H, W) map and its defects, which may overlap -> the saturated overlap of each, pixel by pixel.

    The overlap of a defect grows by 1 / saturation with each of its pixels until it is 1, from the
    highest score down: that many pixels weigh alike and the rest nothing. A pixel counts once for
    every defect that it belongs to, and as good if it belongs to none.

    Args:
        anomaly_map: of a picture.
        channels: its defects.
        valid: false on pixels that are left out; a saturation beyond what is left of a defect becomes all
            that is left, and a defect of which nothing is left is left out. ``None`` leaves none out.

    Raises:
        ValueError: the sizes differ, or a saturation is out of range.
    """
    good = np.ones(np.shape(anomaly_map), dtype=bool) if valid is None else valid.copy()
    scores, weights = [np.zeros(0, np.float32)], [np.zeros(0)]
    for mask, saturation in channels:
        anomaly_map = _checked(anomaly_map, mask)
        found = np.sort(anomaly_map[mask])[::-1]
        if not 1 <= saturation <= len(found):
            raise ValueError(f"a defect of {len(found)} pixels cannot saturate at {saturation}")
        good &= ~mask
        if valid is not None:
            found = np.sort(anomaly_map[mask & valid])[::-1]
            saturation = min(saturation, len(found))
        scores.append(found)
        weights.append(np.where(np.arange(len(found)) < saturation, 1 / max(1, saturation), 0.0))
    left = np.asarray(anomaly_map, np.float32)[good]
    return Weighed(left, np.concatenate(scores), np.concatenate(weights))


def _checked(anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    if np.shape(anomaly_map) != np.shape(mask):
        raise ValueError(f"map is {np.shape(anomaly_map)}, its mask {np.shape(mask)}")
    return np.asarray(anomaly_map, np.float32)


AUPRO_LIMIT = 0.3


def aupro(
    maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.bool_]], limit: float = AUPRO_LIMIT
) -> float | None:
    """Area under the per-region overlap curve up to a false-positive rate, divided by that rate.

    At threshold t, PRO is the mean over all defect regions of all pictures of the share of the
    region above t; the false-positive rate is the share of all good pixels above t, pictures
    without defects included. Every distinct score is a threshold; the curve is interpolated
    linearly at the limit. Regions are 8-connected, as in MVTec's evaluation (Bergmann et al.,
    "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2).

    Args:
        maps: (H, W) each; sizes may differ.
        masks: (H, W) each, true on the defect.
        limit: in (0, 1].

    Returns:
        A fraction in [0, 1], or ``None`` where there is no region or no good pixel.

    Raises:
        ValueError: a map and its mask differ in size, or the limit is out of range.
    """
    return rank_regions(maps, masks).area(limit)


def rank_regions(maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.bool_]]) -> Ranking:
    """All pixels of some maps, the defective ones weighted so that regions count alike; see :func:`aupro`."""
    return _rank(by_region(m, mask) for m, mask in zip(maps, masks, strict=True))


def au_spro(
    maps: Sequence[NDArray[np.floating]], channels: Sequence[Sequence[Channel]], limit: float = 0.05
) -> float | None:
    """Area under the saturated per-region overlap curve up to a false-positive rate, divided by it.

    As AUPRO, with sPRO = min(found pixels / saturation, 1) for each defect, which is a whole mask
    however many parts it has. A pixel is good where no defect of its picture is (Bergmann et al.,
    "Beyond Dents and Scratches", IJCV 2022, section 4).

    Args:
        maps: (H, W) each, at the pictures' own resolution.
        channels: the defects of each; none for a good picture.
        limit: in (0, 1].

    Returns:
        A fraction in [0, 1], or ``None`` where there is no defect or no good pixel.

    Raises:
        ValueError: sizes differ, a saturation is not from 1 to the defect's area, or the limit is out
            of range.
    """
    return _rank(by_channel(m, own) for m, own in zip(maps, channels, strict=True)).area(limit)


def _rank(pictures: Iterable[Weighed]) -> Ranking:
    good, defects, weights = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)], [np.zeros(0)]
    for picture in pictures:
        good.append(picture.good)
        defects.append(picture.defects)
        weights.append(picture.weights)
    return Ranking.of(np.concatenate(good), np.concatenate(defects), np.concatenate(weights))
