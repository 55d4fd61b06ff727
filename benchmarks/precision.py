"""What training in bf16 costs in quality and gains in time: against float32, seed by seed.

    python benchmarks/precision.py --data REALBENCH --out benchmarks/results/precision.csv

One model over the categories. Every run is what ``understudy fit`` and ``understudy evaluate`` do, in a
process of its own, both precisions of a seed one after the other; scores are float32 either way. Rows are
added as runs finish; a run whose rows are there is not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from apart import print_rows, run_missing
from machine import read
from tables.choices import precision as table_of
from unified import fit_and_evaluate, rows_of

PRECISIONS = ("bf16", "32")


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default="ballscrew,hazelnut,cookie")
    parser.add_argument("--method", default="snl-rd")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    for seed in map(int, asked.seeds.split(",")):
        for precision in PRECISIONS:
            job = {
                "method": asked.method,
                "precision": precision,
                "seed": seed,
                "steps": asked.steps,
                "batch_size": asked.batch_size,
                "trained_on": asked.categories.replace(",", " "),
            }
            run_missing(__file__, asked.data, asked.out, job)
    print(table_of(read(asked.out)))


def run(
    data: Path, method: str, precision: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category."""
    options = {"precision": precision, "sampling": "balanced"}
    model, metrics = fit_and_evaluate(data, trained_on.split(), method, {}, steps, batch_size, seed, options)
    key = {"method": method, "seed": seed, "steps": steps, "trained_on": trained_on}
    return [key | row for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
