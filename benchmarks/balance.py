"""Natural against balanced sampling: one model over categories of unequal size.

    python benchmarks/balance.py --data REALBENCH --out benchmarks/results/balance.csv

Natural sampling learns from every picture equally often, balanced sampling from every category. Every run
trains and evaluates like ``unified.py``, in its own process. The length is fixed, and nothing is chosen on
test pictures. Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apart import compare
from tables.quality import balance
from unified import fit_and_evaluate, rows_of

SAMPLINGS = ("natural", "balanced")


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    compare(__file__, __doc__, "sampling", SAMPLINGS, run, balance, method="rd")


def run(
    data: Path, method: str, sampling: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category, with the number of pictures that were learned from."""
    model, metrics = fit_and_evaluate(
        data, trained_on.split(), method, {}, steps, batch_size, seed, {"sampling": sampling}
    )
    key = {"method": method, "sampling": sampling, "seed": seed, "steps": steps, "trained_on": trained_on}
    learned = model.manifest.training.categories
    return [key | row | {"learned_from": learned[row["category"]]} for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
