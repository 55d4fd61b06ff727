"""Peak memory and time of scoring pictures of 100 megapixels.

    python benchmarks/large_pictures.py --model MODEL --out benchmarks/results/large_pictures.csv

One picture of each kind is made, and linked as often as it is scored, in a process of its own. A picture that
the memory does not hold is refused by name, and counted. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from answers import print_rows
from apart import add_missing
from machine import provenance
from memory import peak_mib, resident_mib

KINDS = ("jpeg", "progressive jpeg", "turned jpeg", "png", "gray png", "16-bit png", "tiff with alpha")
SIDE = 10_000  # pixels


def main() -> None:
    """Make the pictures and score each kind in its own process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="a model, trained or exported")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100, help="pictures of each kind")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds of pictures, separated by commas")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.model, **json.loads(asked.run))])
        return
    for kind in asked.kinds.split(","):
        job = {"kind": kind, "pictures": asked.count}
        command = [sys.executable, __file__, "--model", str(asked.model), "--out", str(asked.out)]
        add_missing(asked.out, job, [*command, "--run", json.dumps(job)], lambda row: {**row, **provenance()})


def run(model: Path, kind: str, pictures: int) -> dict[str, Any]:
    """Score one picture many times and return what it took."""
    import understudy

    with TemporaryDirectory() as folder:
        first = _made_apart(Path(folder), kind)
        for i in range(1, pictures):
            os.link(first, first.with_stem(f"{i:04d}"))
        inspector = understudy.load(model)
        before, began = resident_mib(), time.perf_counter()
        results = list(inspector.predict(folder))
    errors = [result.error for result in results if result.error]
    return {
        "kind": kind,
        "pictures": len(results),
        "megapixels": SIDE * SIDE // 10**6,
        "refused": len(errors),
        "mib_before": before,
        "mib_peak": peak_mib(),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _made_apart(folder: Path, kind: str) -> Path:
    """Write a picture in a process of its own, whose memory does not count."""
    suffix = "jpg" if kind.endswith("jpeg") else "png" if kind.endswith("png") else "tif"
    path = folder / f"0000.{suffix}"
    child = os.fork()
    if not child:
        _write(path, kind)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert not status
    return path


def _write(path: Path, kind: str) -> None:
    """Write one picture of coarse noise."""
    channels = 4 if kind.endswith("alpha") else 3
    small = np.random.default_rng(0).integers(0, 256, (100, 100, channels), np.uint8)
    large = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    exif = Image.Exif()
    if kind.startswith("turned"):
        exif[0x0112] = 6
    if kind.endswith("jpeg"):
        large.save(path, quality=90, progressive=kind.startswith("progressive"), exif=exif)
    elif kind.startswith("16-bit"):
        Image.fromarray(np.asarray(large.convert("L")).astype(np.uint16)).save(path, compress_level=1)
    elif kind.startswith("tiff"):
        large.save(path, compression="tiff_adobe_deflate")
    else:
        (large.convert("L") if kind.startswith("gray") else large).save(path, compress_level=1)


if __name__ == "__main__":
    main()
