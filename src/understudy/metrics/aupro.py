"""AUPRO: how well every single defect region is covered, small ones as much as large ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from understudy.metrics.ranking import Ranking

__all__ = ["aupro"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=int)


def aupro(
    maps: Sequence[NDArray[np.floating]],
    masks: Sequence[NDArray[np.bool_]],
    limit: float = 0.3,
    ranking: Ranking | None = None,
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
        ranking: of all pixels in this order, where it is at hand: saves the sort.

    Returns:
        A fraction in [0, 1], or ``None`` where there is no region or no good pixel.

    Raises:
        ValueError: a map and its mask differ in size, or the limit is out of range.
    """
    if not 0 < limit <= 1:
        raise ValueError(f"the limit of the false-positive rate lies in (0, 1], got {limit}")
    weights, n_regions = _region_weights(maps, masks)
    good = np.concatenate([~np.ravel(m) for m in masks]) if len(masks) else np.zeros(0, bool)
    if n_regions == 0 or not good.any():
        return None
    pixels = ranking or Ranking(np.concatenate([np.ravel(m) for m in maps]), ~good)
    overlap = np.cumsum(weights[pixels.order])[pixels.ends] / n_regions
    alarms = np.cumsum(good[pixels.order])[pixels.ends] / good.sum()
    overlap, alarms = np.append(0, overlap), np.append(0, alarms)
    last = int(np.searchsorted(alarms, limit, side="right"))
    at_limit = float(np.interp(limit, alarms, overlap))
    return float(np.trapezoid(np.append(overlap[:last], at_limit), np.append(alarms[:last], limit)) / limit)


def _region_weights(
    maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], int]:
    """Every pixel's weight, 1/area inside a region and 0 outside; and the number of regions."""
    weights, regions = [np.zeros(0)], 0
    for anomaly_map, mask in zip(maps, masks, strict=True):
        if np.shape(anomaly_map) != np.shape(mask):
            raise ValueError(f"map is {np.shape(anomaly_map)}, its mask {np.shape(mask)}")
        labels, found = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
        area = np.bincount(labels.ravel(), minlength=found + 1).astype(float)
        share = np.divide(1, area, out=np.zeros_like(area), where=area > 0)
        share[0] = 0
        weights.append(share[labels.ravel()])
        regions += found
    return np.concatenate(weights), regions
