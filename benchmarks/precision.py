"""Training in bf16 against float32, seed by seed: what it costs in quality and gains in time.

    python benchmarks/precision.py --data REALBENCH --out benchmarks/results/precision.csv

One model learns all categories. Every run trains and evaluates like ``unified.py``, in its own process. Both
precisions of a seed run one after the other. Scores are float32 in both. Rows are added as runs finish. A run
whose rows exist is not repeated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apart import compare
from tables.choices import precision as table_of
from unified import fit_and_evaluate, rows_of

PRECISIONS = ("bf16", "32")


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    compare(__file__, __doc__, "precision", PRECISIONS, run, table_of, method="snl-rd")


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
