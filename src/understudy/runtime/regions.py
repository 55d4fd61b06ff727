"""Connected regions of a map, diagonal neighbours included: where, which are large enough, up to which level.

Needs numpy alone. Regions are found through runs, the pixels of a row that touch each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy.types import Region

__all__ = ["find_regions", "highest_threshold_with_region", "large_regions"]

Mask = NDArray[np.bool_]


def find_regions(
    anomaly_map: NDArray[np.float32], above: float, min_area: int, size: tuple[int, int]
) -> tuple[Region, ...]:
    """Regions of an (h, w) map above a level and of the least area, the highest peak first.

    Args:
        anomaly_map: of a picture.
        above: level.
        min_area: pixels of the map that a region has at least.
        size: (height, width) of the picture, in whose pixels regions are told.
    """
    height, width = anomaly_map.shape
    tall, wide = size
    begins, ends = _runs(anomaly_map > above)
    of_run = _regions(begins, ends, width)
    found = []
    for name in np.flatnonzero(np.bincount(of_run, ends - begins, len(of_run)) >= max(1, min_area)):
        first, last = begins[of_run == name], ends[of_run == name]
        rows, left, right = first // (width + 1), first % (width + 1), last % (width + 1)
        peak = max(anomaly_map[row, a:b].max() for row, a, b in zip(rows, left, right, strict=True))
        found.append(
            Region(
                left=int(left.min()) * wide // width,
                top=int(rows.min()) * tall // height,
                right=-(-int(right.max()) * wide // width),
                bottom=-(-int(rows.max() + 1) * tall // height),
                area=max(1, round(int((last - first).sum()) * tall * wide / (height * width))),
                peak=float(peak),
            )
        )
    return tuple(sorted(found, key=lambda region: -region.peak))


def large_regions(mask: Mask, min_area: int) -> Mask:
    """(H, W) -> the same without its regions of fewer than ``min_area`` pixels."""
    begins, ends = _runs(mask)
    areas = _areas(begins, ends, mask.shape[1])
    step = np.zeros(mask.shape[0] * (mask.shape[1] + 1), np.int8)
    kept = areas >= min_area
    step[begins[kept]], step[ends[kept]] = 1, -1
    return np.cumsum(step).astype(bool).reshape(mask.shape[0], -1)[:, :-1]


def highest_threshold_with_region(anomaly_map: NDArray[np.float32], min_area: int) -> float:
    """The highest level of an (H, W) map at or above which a region of ``min_area`` pixels lies.

    So above a threshold there is such a region exactly if this level is. Regions only grow where the
    level falls, so bisection over the map's distinct values finds it.

    Args:
        anomaly_map: finite.
        min_area: at most as many as the map has pixels.
    """
    values = np.unique(anomaly_map)
    low, high = 0, len(values)  # the whole map survives at its lowest value, nothing above its highest
    while high - low > 1:
        middle = (low + high) // 2
        mask = anomaly_map >= values[middle]
        if mask.sum() >= min_area and _areas(*_runs(mask), mask.shape[1]).max() >= min_area:
            low = middle
        else:
            high = middle
    return float(values[low])


def _runs(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(H, W) -> where runs begin and where they have ended, at row·(W + 1) + column."""
    padded = np.pad(mask, ((0, 0), (0, 1))).ravel()
    edges = np.diff(padded.astype(np.int8), prepend=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _areas(begins: NDArray[np.intp], ends: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Of each run, the pixels of the region that it belongs to."""
    region = _regions(begins, ends, width)
    return np.bincount(region, ends - begins, len(region))[region].astype(np.intp)


def _regions(begins: NDArray[np.intp], ends: NDArray[np.intp], width: int) -> NDArray[np.intp]:
    """Of each run, the first run of the region that it belongs to."""
    region = np.arange(len(begins))
    upper, lower = _touching(begins, ends, width + 1)
    while True:  # every run takes the lowest name around it, then that name's own, until all agree
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
    """Pairs of runs, one below the other, that share a side or a corner of a pixel."""
    first = np.searchsorted(ends, begins + row)
    last = np.searchsorted(begins, ends + row, side="right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(begins)), counts)
    lower = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return upper, lower
