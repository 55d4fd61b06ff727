"""Teacher features computed once, or at each step: time of a training step and peak memory.

    python benchmarks/feature_cache.py --out benchmarks/results/feature_cache.csv

Both ways alternate (A-B-A-B). Each training runs in its own process, on synthetic pictures in memory. The
time to fill the cache has a column of its own. Rows are added as runs finish. A run whose rows exist is not
repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apart import print_rows, run_missing
from machine import provenance, read
from tables.cost import feature_cache
from timed_training import good_pictures, timed_training
from understudy.types import EMBEDDED_TEACHER

WAYS = ("off", "auto")
FIGURES = ("computed_in", "pictures", "step_ms", "filling_s", "features_mb", "peak_mib")


def main() -> None:
    """Run what is missing, round by round, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="pictures in MVTec AD layout; synthetic ones by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="rd,snl-rd")
    parser.add_argument("--teacher", default=EMBEDDED_TEACHER)
    parser.add_argument("--weights", default="", help="teacher's weights: a file, or the word random")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--precision", choices=("auto", "32", "bf16"), default="auto")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    names = ("teacher", "weights", "steps", "batch_size", "image_size", "precision")
    common = {name: getattr(asked, name) for name in names}
    with TemporaryDirectory() as made:
        data = asked.data or good_pictures(Path(made), asked.image_size)
        for method in asked.methods.split(","):
            for number in range(asked.rounds):
                for way in WAYS:
                    job = {"method": method, "cache_features": way, "number": number} | common
                    run_missing(__file__, data, asked.out, job)
    print(feature_cache(read(asked.out)))


def run(data: Path, number: int, **training: Any) -> dict[str, Any]:
    """Train once: one row."""
    found = timed_training(data, **training)
    return training | {"number": number} | {name: found[name] for name in FIGURES} | provenance()


if __name__ == "__main__":
    main()
