"""Connected regions of a map: where they are, which are large enough, up to which threshold they exist.

Pixels that touch at a side or a corner belong to one region. Regions are built from *runs*: neighbouring
pixels of one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.images import Mask
from understudy.types import Region

__all__ = ["find_regions", "highest_threshold_with_region", "large_regions"]


def find_regions(
    anomaly_map: NDArray[np.float32], above: float, min_area: int, size: tuple[int, int]
) -> tuple[Region, ...]:
    """(h, w) map -> its regions above a threshold, the highest peak first.

    Args:
        anomaly_map: (h, w) map of a picture.
        above: threshold; pixels with a larger value belong to a region.
        min_area: smallest area of a region, in pixels of the map.
        size: (height, width) of the picture; regions are given in its pixels.
    """
    height, width = anomaly_map.shape
    tall, wide = size
    begins, ends = _runs(anomaly_map > above)
    of_run = _regions(begins, ends, width)
    regions = []
    for name in np.flatnonzero(np.bincount(of_run, ends - begins, len(of_run)) >= max(1, min_area)):
        first, last = begins[of_run == name], ends[of_run == name]
        rows, left, right = first // (width + 1), first % (width + 1), last % (width + 1)
        peak = max(anomaly_map[row, a:b].max() for row, a, b in zip(rows, left, right, strict=True))
        regions.append(
            Region(
                left=int(left.min()) * wide // width,
                top=int(rows.min()) * tall // height,
                right=-(-int(right.max()) * wide // width),
                bottom=-(-int(rows.max() + 1) * tall // height),
                area=max(1, round(int((last - first).sum()) * tall * wide / (height * width))),
                peak=float(peak),
            )
        )
    return tuple(sorted(regions, key=lambda region: -region.peak))


def large_regions(mask: Mask, min_area: int) -> Mask:
    """(H, W) mask -> the mask without its regions of fewer than ``min_area`` pixels."""
    begins, ends = _runs(mask)
    areas = _areas(begins, ends, mask.shape[1])
    step = np.zeros(mask.shape[0] * (mask.shape[1] + 1), np.int8)
    kept = areas >= min_area
    step[begins[kept]], step[ends[kept]] = 1, -1
    return np.cumsum(step).astype(bool).reshape(mask.shape[0], mask.shape[1] + 1)[:, :-1]


def highest_threshold_with_region(anomaly_map: NDArray[np.float32], min_area: int) -> float:
    """(H, W) map -> highest threshold at which a region of ``min_area`` pixels is left.

    Pixels at the threshold count as inside. So a map has such a region above a threshold t exactly if the
    result is above t. Regions only grow when the threshold falls. So the search goes down from the highest
    values, in steps that double, and then bisects the last step.

    Args:
        anomaly_map: map without infinite values or NaN.
        min_area: area in pixels, at most the number of pixels of the map.
    """
    values = np.unique(anomaly_map)

    def holds(place: int) -> bool:
        mask = anomaly_map >= values[place]
        return bool(mask.sum() >= min_area and _areas(*_runs(mask), mask.shape[1]).max() >= min_area)

    high = len(values)
    low, step = max(0, high - min_area), min_area
    while low and not holds(low):  # at the lowest value the whole map is one region
        high, step = low, 2 * step
        low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(values[low])


def _runs(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(H, W) mask -> where its runs begin and where they have ended, as row * (W + 1) + column."""
    padded = np.pad(mask, ((0, 0), (0, 1))).ravel()
    edges = np.diff(padded.astype(np.int8), prepend=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _areas(begins: NDArray[np.intp], ends: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Return for each run the area of its region, in pixels."""
    region = _regions(begins, ends, width)
    return np.bincount(region, ends - begins, len(region))[region].astype(np.intp)


def _regions(begins: NDArray[np.intp], ends: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Return for each run the first run of its region, which names the region."""
    region = np.arange(len(begins))
    upper, lower = _touching(begins, ends, width + 1)
    while True:  # each run takes the lowest name among its neighbours, until nothing changes
        lowest = region.copy()
        np.minimum.at(lowest, upper, region[lower])
        np.minimum.at(lowest, lower, region[upper])
        lowest = lowest[lowest]
        if np.array_equal(lowest, region):
            return region
        region = lowest


def _touching(
    begins: NDArray[np.intp], ends: NDArray[np.intp], row: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of runs in neighbouring rows that share a side or a corner of a pixel."""
    first = np.searchsorted(ends, begins + row)
    last = np.searchsorted(begins, ends + row, side="right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(begins)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return upper, lower
