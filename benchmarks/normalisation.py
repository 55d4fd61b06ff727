"""Statistics of batch normalisation: running ones, as a training leaves them, against recomputed ones.

    python benchmarks/normalisation.py --data REALBENCH --out benchmarks/results/normalisation.csv

Both trainings of a seed take the same steps; only what the student's batch normalisation takes for usual
differs in the end. Every run is what ``understudy fit`` and ``understudy evaluate`` do, in a process of its
own; the length is fixed and nothing is chosen on test pictures. Rows are added as runs finish; a run whose
rows are there is not repeated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apart import compare
from tables.quality import normalisation
from unified import fit_and_evaluate, rows_of

STATISTICS = ("running", "recomputed")
SIX = "ballscrew,hazelnut,cookie,alien,magnetic_tile,pcb"


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
