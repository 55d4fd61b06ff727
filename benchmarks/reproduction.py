"""A table of the SNL paper on other real pictures, as ``understudy reproduce`` makes it.

    python benchmarks/reproduction.py --data REALBENCH --out benchmarks/results/reproduction.csv --work DIR

Runs are kept in ``--work``, so that a run that was stopped goes on with the same command; the results file is
written anew from all that are done there. As in the papers, every picture is learned from equally often, none
is held out, and the last step's student counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import understudy
from machine import append, provenance, read
from tables.quality import reproduction
from understudy.distill.teacher import EMBEDDED_TEACHER
from understudy.reporter import Reporter
from understudy.reproduction import TABLES
from understudy.reproduction.runs import settings_text

_KEPT = ("models", "trained_on", "seed", "length", "batch_size", "teacher", "image_size", "category")
_FIGURES = ("image_auroc", "pixel_auroc", "aupro", "seconds", "precision")


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--table", default="snl-1")
    parser.add_argument("--rows", default="RD,SNL(RD)")
    parser.add_argument("--models", choices=("unified", "one-class"), default="unified")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--teacher", default=EMBEDDED_TEACHER)
    asked = parser.parse_args()
    made = understudy.reproduce(
        asked.table,
        asked.data,
        asked.work,
        teacher=asked.teacher,
        seeds=[int(seed) for seed in asked.seeds.split(",")],
        max_steps=asked.steps,
        rows=asked.rows.split(","),
        models=asked.models,
        reporter=Reporter(say=print),
    )
    asked.out.unlink(missing_ok=True)
    append(asked.out, list(rows_of(made.runs, asked.table)))
    print(reproduction(read(asked.out)))


def rows_of(runs: Path, table: str) -> Iterator[dict[str, str]]:
    """Rows of the runs that belong to a table, by its labels, without the folder of the pictures."""
    labels = {(v.method, settings_text(v)): v.label for v in TABLES[table].variants}
    for row in read(runs):
        if label := labels.get((row["method"], row["settings"])):
            figures = {name: row[name] for name in (*_KEPT, *_FIGURES)}
            yield {"table": table, "row": label} | figures | provenance()


if __name__ == "__main__":
    main()
