"""What training in bf16 costs in quality and gains in time: against float32, seed by seed.

    python benchmarks/precision.py --data REALBENCH --out benchmarks/results/precision.csv

One model over the categories. Every run is what a run of ``unified.py`` is, in a
process of its own, both precisions of a seed one after the other; scores are float32 either way. Rows are
added as runs finish; a run whose rows are there is not repeated.
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
