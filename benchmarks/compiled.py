"""Training with and without torch.compile: time of a step, time until it runs, and the loss.

    python benchmarks/compiled.py --out benchmarks/results/compiled.csv

Both ways alternate (A-B-A-B). Each training runs in its own process, on synthetic pictures in memory, from
the same seed. Every process compiles anew. Losses of the last step differ as those of two seeds do, because
bf16 rounds the first steps differently (docs/decisions/0032). Rows are added as runs finish. A run whose rows
exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apart import print_rows, run_missing
from machine import provenance, read
from tables.cost import compiled
from timed_training import good_pictures, timed_training

CASES = {"rd": "tf_efficientnet_lite0", "snl-rd": "tf_efficientnet_lite0", "stpm": "resnet18"}
FIGURES = ("computed_in", "step_ms", "first_report_s", "loss", "peak_mib")


def main() -> None:
    """Run what is missing, round by round, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default=",".join(CASES))
    parser.add_argument("--precisions", default="32,auto")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    common = {name: getattr(asked, name) for name in ("steps", "batch_size", "image_size")}
    with TemporaryDirectory() as made:
        data = good_pictures(Path(made), asked.image_size)
        for method in asked.methods.split(","):
            teacher = CASES[method]
            weights = "random" if teacher == "resnet18" else ""
            for precision in asked.precisions.split(","):
                for number in range(asked.rounds):
                    for way in (False, True):
                        job = {"method": method, "precision": precision, "number": number, "compiled": way}
                        run_missing(
                            __file__, data, asked.out, job | {"teacher": teacher, "weights": weights} | common
                        )
    print(compiled(read(asked.out)))


def run(data: Path, number: int, **training: Any) -> dict[str, Any]:
    """Train once: one row."""
    with TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        found = timed_training(data, **training)
    return training | {"number": number} | {name: found[name] for name in FIGURES} | provenance()


if __name__ == "__main__":
    main()
