"""All methods on real pictures: one model for all categories, and one model for each category, per seed.

    python benchmarks/methods.py --data REALBENCH --out benchmarks/results/methods.csv

All see equally many pictures. The unified model sees ``--pictures`` of them. The one-class models share as
many equally. Every run trains and evaluates like ``unified.py``, in its own process. Nothing is chosen on
test pictures. Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from apart import print_rows, run_missing
from machine import read
from memory import peak_mib
from tables.quality import methods
from understudy.data.layouts import open_pictures
from unified import fit_and_evaluate, rows_of

METHODS = ("stpm", "rd", "snl-fd", "snl-rd", "dskd")
TIMED = 48  # pictures that are scored for the throughput


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default="hazelnut,cookie,magnetic_tile")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--pictures", type=int, default=12000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    categories = asked.categories.split(",")
    for seed in map(int, asked.seeds.split(",")):
        for method in asked.methods.split(","):
            for one_class in (False, True):
                share = asked.pictures // (len(categories) if one_class else 1)
                for trained_on in [[c] for c in categories] if one_class else [categories]:
                    job = {
                        "method": method,
                        "seed": seed,
                        "steps": share // asked.batch_size,
                        "batch_size": asked.batch_size,
                        "trained_on": " ".join(trained_on),
                    }
                    run_missing(__file__, asked.data, asked.out, job)
    print(methods(read(asked.out)))


def run(
    data: Path, method: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category, with speed and memory."""
    categories = trained_on.split()
    model, metrics = fit_and_evaluate(data, categories, method, {}, steps, batch_size, seed)
    paths = [r.path for r in open_pictures(data).only(categories).test()][:TIMED]
    began = time.monotonic()
    scored = len(list(model.inspector.scorer.score(paths)))
    rate = scored / (time.monotonic() - began)
    facts = {"scored_per_second": round(rate, 1), "peak_mib": peak_mib()}
    key = {"method": method, "seed": seed, "steps": steps, "trained_on": trained_on}
    return [key | row | facts for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
