"""Exact AUPRO and pixel AUROC of many maps in one run: by ours, by the naive way and by anomalib.

    python benchmarks/metrics.py --out benchmarks/results/metrics.csv [--peer-environment FOLDER]

Maps of 256 x 256 are made from a seed and stored. Then every contender reads them and computes both figures,
in its own process. ``naive`` sorts all pixels with their labels. anomalib is installed into its own
environment (some minutes, 5 GB). Exact contenders give the same figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from environments import ANOMALIB, python_with
from machine import append, provenance
from memory import peak_mib
from understudy.metrics import AUPRO_LIMIT, PixelTally, by_region

SIDE = 256
HERE = Path(__file__).parent


def main() -> None:
    """Run every contender and print the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument(
        "--peer-maps", type=int, default=1000, help="maps that anomalib gets; 0 leaves it out"
    )
    parser.add_argument(
        "--peer-environment", type=Path, help="anomalib's environment; made if missing, temporary by default"
    )
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        contender, folder, count = asked.run
        print(json.dumps(measured(CONTENDERS[contender], Path(folder), int(count))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store(folder, asked.maps)
        rows = []
        for count in sorted({asked.peer_maps, asked.maps} - {0}):
            for contender in CONTENDERS:
                command = [sys.executable, __file__, "--out", str(asked.out), "--run", contender]
                rows.append(row(contender, count, [*command, str(folder), str(count)]))
        if asked.peer_maps:
            python = python_with(asked.peer_environment or folder / "anomalib", ANOMALIB.format(""))
            command = [str(python), str(HERE / "anomalib_metrics.py"), str(folder), str(asked.peer_maps)]
            rows.append(row("anomalib", asked.peer_maps, command))
    append(asked.out, rows)


def row(contender: str, count: int, command: list[str]) -> dict[str, Any]:
    """Run one contender and make its row."""
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    name = f"{contender} {found.pop('version')}" if "version" in found else contender
    figures = {key: round(value, 6) for key, value in found.items()}
    print(name, count, figures, flush=True)
    return {"contender": name, "maps": count, "side": SIDE} | figures | provenance()


def store(folder: Path, count: int) -> None:
    """Store maps of smooth noise; every other picture is brighter on one to three ellipses, hard to find."""
    rng = np.random.default_rng(0)
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, (count, SIDE, SIDE))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.bool_, (count, SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(count):
        for _ in range(rng.integers(1, 4) if i % 2 else 0):
            (cy, cx), (ry, rx) = rng.uniform(0, SIDE, 2), rng.uniform(4, 30, 2)
            masks[i] |= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        noise = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 4) * 14
        bump = 2 * ndimage.gaussian_filter(masks[i].astype(float), 4)
        maps[i] = 1 / (1 + np.exp(2 - noise - bump))  # anomalib demands values in (0, 1)


def measured(contender: Callable[..., tuple[float | None, float | None]], folder: Path, count: int) -> Any:
    """Measure the seconds from the first map to both figures, and the peak memory of the process."""
    maps, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("maps", "masks"))
    began = time.perf_counter()
    aupro, auroc = contender(maps[:count], masks[:count])
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mib": peak_mib(), "aupro": aupro, "pixel_auroc": auroc}


def ours(maps: NDArray[Any], masks: NDArray[Any], exact: bool = True) -> tuple[float | None, float | None]:
    """One pass over the pictures, then one ranking."""
    tally = PixelTally(exact)
    for anomaly_map, mask in zip(maps, masks, strict=True):
        tally.update(by_region(np.array(anomaly_map), np.array(mask)))
    ranking = tally.compute()
    return ranking.area(AUPRO_LIMIT), ranking.auroc()


def in_bins(maps: NDArray[Any], masks: NDArray[Any]) -> tuple[float | None, float | None]:
    """Do the same in bounded memory."""
    return ours(maps, masks, exact=False)


def naive(maps: NDArray[Any], masks: NDArray[Any]) -> tuple[float, float]:
    """Sort all pixels with their label and weight, and take every pixel as a threshold."""
    weights = []
    for mask in masks:
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        area = np.bincount(labels.ravel()).astype(float)
        weights.append(np.where(labels > 0, 1 / area[labels], 0).ravel())
    order = np.argsort(-maps.ravel())
    good, weight = ~masks.ravel()[order], np.concatenate(weights)[order]
    alarms = np.append(0, np.cumsum(good) / good.sum())
    hits = np.append(0, np.cumsum(~good) / (~good).sum())
    overlap = np.append(0, np.cumsum(weight) / weight.sum())
    last = int(np.searchsorted(alarms, AUPRO_LIMIT, side="right"))
    return float(np.trapezoid(overlap[:last], alarms[:last]) / AUPRO_LIMIT), float(np.trapezoid(hits, alarms))


CONTENDERS: dict[str, Callable[..., tuple[float | None, float | None]]] = {
    "ours": ours,
    "ours, in bins": in_bins,
    "naive": naive,
}

if __name__ == "__main__":
    main()
