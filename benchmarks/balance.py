"""A category's share of a batch: one model over categories of unequal size, natural against balanced.

    python benchmarks/balance.py --data REALBENCH --out benchmarks/results/balance.csv

Natural sampling learns from every picture equally often, balanced sampling from every category. Every
run is what ``understudy fit`` and ``understudy evaluate`` do, in a process of its own; the length is
fixed and nothing is chosen on test pictures. Rows are added as runs finish; a run whose rows are there
is not repeated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from apart import print_rows, run_missing
from machine import read
from tables.quality import balance
from unified import fit_and_evaluate, rows_of

SAMPLINGS = ("natural", "balanced")


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default="ballscrew,hazelnut,cookie")
    parser.add_argument("--method", default="rd")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    for seed in map(int, asked.seeds.split(",")):
        for sampling in SAMPLINGS:
            job = {
                "method": asked.method,
                "sampling": sampling,
                "seed": seed,
                "steps": asked.steps,
                "batch_size": asked.batch_size,
                "trained_on": asked.categories.replace(",", " "),
            }
            run_missing(__file__, asked.data, asked.out, job)
    print(balance(read(asked.out)))


def run(
    data: Path, method: str, sampling: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category, with the number of pictures learned from."""
    model, metrics = fit_and_evaluate(
        data, trained_on.split(), method, {}, steps, batch_size, seed, {"sampling": sampling}
    )
    key = {"method": method, "sampling": sampling, "seed": seed, "steps": steps, "trained_on": trained_on}
    learned = model.manifest.training.categories
    return [key | row | {"learned_from": learned[row["category"]]} for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
