"""A table of the SNL paper on other real pictures, made as ``understudy reproduce`` makes it.

    python benchmarks/reproduction.py --data REALBENCH --out benchmarks/results/reproduction.csv --work DIR

Runs are kept in ``--work``. A stopped run goes on with the same command. When a run ends, the results file
gets a line for every category that it lacks. As in the papers, every picture is learned from equally often,
none is held out, and the student of the last step counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from machine import append, provenance, read
from tables.reproduced import baselines, centres, terms
from understudy import Reporter
from understudy.lab.reproduce import TABLES, reproduce
from understudy.types import EMBEDDED_TEACHER

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
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the runs")
    parser.add_argument("--table", default="snl-1")
    parser.add_argument("--rows", help="rows of the table, separated by commas; all by default")
    parser.add_argument("--models", choices=("unified", "one-class"), default="unified")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--teacher", default=EMBEDDED_TEACHER)
    asked = parser.parse_args()
    labels = asked.rows.split(",") if asked.rows else [v.label for v in TABLES[asked.table].variants]
    for seed in map(int, asked.seeds.split(",")):
        for label in labels:
            rows = run(asked, label, seed)
            there = {tuple(row[name] for name in _KEY) for row in read(asked.out)}
            if new := [row for row in rows if tuple(row[name] for name in _KEY) not in there]:
                append(asked.out, new)
    found = read(asked.out)
    for table in (baselines, terms, centres):
        print(table(found))


def run(asked: argparse.Namespace, label: str, seed: int) -> list[dict[str, str]]:
    """Run one row of the table with one seed: one line of the results file for each category."""
    made = reproduce(
        asked.table,
        asked.data,
        asked.work,
        teacher=asked.teacher,
        seeds=[seed],
        max_steps=asked.steps,
        rows=[label],
        models=asked.models,
        progress=Reporter(say=print),
    )
    here = {"table": asked.table, "threads": str(torch.get_num_threads())} | provenance()
    return [
        {name: row[name] for name in (*_KEY[2:], *_FIGURES)}
        | {"row": of, "train_seconds": row["seconds"]}
        | here
        for of, row in made.rows
        if (of, row["seed"]) == (label, str(seed))
    ]


if __name__ == "__main__":
    main()
