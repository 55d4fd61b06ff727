"""AUPRO and AU-sPRO: how well every single defect is covered, small ones as much as large ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from understudy.metrics.ranking import Ranking
from understudy.metrics.weighing import Channel, Weighed, by_channel, by_region

__all__ = ["AUPRO_LIMIT", "au_spro", "aupro", "rank_regions"]

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
