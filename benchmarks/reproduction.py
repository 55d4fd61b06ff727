"""A table of the SNL paper on other real pictures, as ``understudy reproduce`` makes it.

    python benchmarks/reproduction.py --data REALBENCH --out benchmarks/results/reproduction.csv --work DIR

Runs are kept in ``--work``, so that a run that was stopped goes on with the same command; the results file
gets a row for every run and category that it lacks. As in the papers, every picture is learned from equally
often, none is held out, and the last step's student counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import understudy
from machine import append, provenance, read
from tables.reproduced import baselines, centres, terms
from understudy.distill.teacher import EMBEDDED_TEACHER
from understudy.reporter import Reporter

_KEY = (
    *("table", "row", "models", "trained_on", "seed", "length"),
    *("batch_size", "teacher", "image_size", "category"),
)
_FIGURES = ("image_auroc", "pixel_auroc", "aupro", "precision")


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--table", default="snl-1")
    parser.add_argument("--rows", help="of the table, separated by commas; all by default")
    parser.add_argument("--models", choices=("unified", "one-class"), default="unified")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--teacher", default=EMBEDDED_TEACHER)
    asked = parser.parse_args()
    made = understudy.reproduce(
        asked.table,
        asked.data,
        asked.work,
        teacher=asked.teacher,
        seeds=[int(seed) for seed in asked.seeds.split(",")],
        max_steps=asked.steps,
        rows=asked.rows.split(",") if asked.rows else None,
        models=asked.models,
        reporter=Reporter(say=print),
    )
    there = {tuple(row[name] for name in _KEY) for row in read(asked.out)}
    rows = [{"table": asked.table, "row": label, **kept(row)} for label, row in made.rows]
    here = {"threads": torch.get_num_threads()} | provenance()
    new = [row | here for row in rows if tuple(row[name] for name in _KEY) not in there]
    if new:
        append(asked.out, new)
    for table in (baselines, terms, centres):
        print(table(read(asked.out)))


def kept(row: dict[str, str]) -> dict[str, str]:
    """What a results file holds of a run and category."""
    return {name: row[name] for name in (*_KEY[2:], *_FIGURES)} | {"train_seconds": row["seconds"]}


if __name__ == "__main__":
    main()
