"""Statistics of batch normalisation: the running ones of a training against recomputed ones.

    python benchmarks/normalisation.py --data REALBENCH --out benchmarks/results/normalisation.csv

Both trainings of a seed take the same steps. Only the final statistics of the student's batch normalisation
differ. Every run is ``understudy fit`` and ``understudy evaluate`` in its own process. The length is fixed,
and nothing is chosen on test pictures. Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apart import SIX, compare
from tables.quality import normalisation
from unified import fit_and_evaluate, rows_of

STATISTICS = ("running", "recomputed")


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    compare(
        __file__,
        __doc__,
        "statistics",
        STATISTICS,
        run,
        normalisation,
        method="snl-rd",
        categories=SIX,
        steps=200,
    )


def run(
    data: Path, method: str, statistics: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category."""
    options = {"statistics": statistics, "sampling": "balanced"}
    categories = trained_on.split()
    model, metrics = fit_and_evaluate(data, categories, method, {}, steps, batch_size, seed, options)
    key = {"method": method, "seed": seed, "steps": steps, "trained_on": trained_on, "statistics": statistics}
    return [key | row for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
