"""What a GPU gives: parity with the processor, training, latency, throughput; and anomalib beside it.

    python benchmarks/gpu.py --data REALBENCH --out benchmarks/results/gpu.csv [--anomalib]

- ``parity``: the largest difference of maps and of scores between the processor and the device.
- ``training``: pictures a second of STPM, RD and SNL(RD), in bf16 and in float32 (TF32), with and without
  stored features.
- ``scoring``: milliseconds a picture, one at a time and in batches, of pictures in memory.
- ``--anomalib`` runs ``versus_anomalib.py`` too, whose two sides take the GPU by themselves.

Where there is no GPU, ``--device cpu`` tries the script itself; such figures say nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from machine import append, provenance
from timed_training import timed_training
from understudy import InputError, Model
from understudy.runtime.images import Picture, read_picture
from understudy.runtime.walk import find_pictures
from understudy.types import EMBEDDED_TEACHER, PrecisionChoice

Row = dict[str, Any]

METHODS = ("stpm", "rd", "snl-rd")
PRECISIONS: tuple[PrecisionChoice, ...] = ("bf16", "32")
COLUMNS = ("part", "method", "device", "precision", "features", "batch_size", "figure", "value")
WARM_UP = 3


def main() -> None:
    """Measure, part by part; rows are added to the file as they are found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--category", default="hazelnut")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=200, help="steps of a timed training, at least 20")
    parser.add_argument("--count", type=int, default=64, help="pictures to score")
    parser.add_argument("--batch-sizes", default="1,8,32")
    parser.add_argument("--anomalib", action="store_true", help="run versus_anomalib.py too")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise InputError("no GPU is usable here; --device cpu tries the script")
    data = asked.data / asked.category
    pictures = [read_picture(p) for p in find_pictures(data / "test")[: asked.count]]
    with TemporaryDirectory() as scratch:
        for method in METHODS:
            folder = Path(scratch) / method
            Model.fit(
                data, out=folder, method=method, max_steps=20, image_size=asked.image_size, progress=False
            )
            keep(asked.out, parity(folder, method, asked.device, pictures))
            sizes = [int(size) for size in asked.batch_sizes.split(",")]
            keep(asked.out, scoring(folder, method, asked.device, pictures, sizes))
    for row in trainings(data, asked.steps, asked.image_size, asked.device):
        keep(asked.out, [row])
    if asked.anomalib:
        script = str(Path(__file__).with_name("versus_anomalib.py"))
        given = ["--data", str(asked.data), "--out", str(asked.out.parent / "gpu"), "--category"]
        parts = ["--parts", "training,scoring"]
        subprocess.run([sys.executable, script, *given, asked.category, *parts], check=True)


def keep(out: Path, rows: Sequence[Row]) -> None:
    """Add rows to the file, with the machine, the device and the versions; print them."""
    for row in rows:
        print(row, flush=True)
    found = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    where = provenance() | {"gpu": found, "cuda": torch.version.cuda or ""}
    append(out, [dict.fromkeys(COLUMNS, "") | row | where for row in rows])


def parity(folder: Path, method: str, device: str, pictures: Sequence[Picture]) -> list[Row]:
    """Compare maps and scores of one model on the processor and on the device."""
    here, there = (
        list(Model.load(folder, place).predict(pictures))  # type: ignore[arg-type]
        for place in ("cpu", device)
    )
    maps = max(float(np.abs(a.anomaly_map - b.anomaly_map).max()) for a, b in zip(here, there, strict=True))
    largest = max(float(np.abs(a.anomaly_map).max()) for a in here)
    scores = max(abs(a.score - b.score) for a, b in zip(here, there, strict=True))
    figures = {"largest difference of maps": maps, "largest map": largest, "of scores": scores}
    return [
        {"part": "parity", "method": method, "device": device, "figure": name, "value": f"{value:.3g}"}
        for name, value in figures.items()
    ]


def scoring(
    folder: Path, method: str, device: str, pictures: Sequence[Picture], batch_sizes: Sequence[int]
) -> list[Row]:
    """Time whole batches; a result is a map in the processor's memory, so the device has finished."""
    model = Model.load(folder, device)  # type: ignore[arg-type]
    rows = []
    for size in batch_sizes:
        taken = []
        for start in range(0, len(pictures) - size + 1, size):
            began = time.perf_counter()
            list(model.predict(pictures[start : start + size], batch_size=size))
            taken.append((time.perf_counter() - began) / size)
        if not (counted := taken[WARM_UP:]):
            continue
        common = {"part": "scoring", "method": method, "device": device, "precision": "32"}
        figures = {"ms a picture": 1000 * median(counted), "pictures a second": 1 / median(counted)}
        rows += [
            common | {"batch_size": size, "figure": name, "value": f"{value:.4g}"}
            for name, value in figures.items()
        ]
    return rows


def trainings(data: Path, steps: int, image_size: int, device: str) -> Iterator[Row]:
    """Time the training of each method in each precision."""
    for method in METHODS:
        for precision in PRECISIONS:
            for features in ("off",) if method == "stpm" else ("off", "auto"):
                found = timed_training(
                    data,
                    method=method,
                    teacher=EMBEDDED_TEACHER,
                    weights="",
                    steps=steps,
                    batch_size=8,
                    image_size=image_size,
                    precision=precision,
                    cache_features=features,
                )
                yield {
                    "part": "training",
                    "method": method,
                    "device": device,
                    "precision": precision,
                    "features": features,
                    "batch_size": 8,
                    "figure": "pictures a second",
                    "value": f"{8000 / found['step_ms']:.4g}",
                }


if __name__ == "__main__":
    main()
