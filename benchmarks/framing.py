"""How pictures are given to a network: stretched, padded, larger, or in tiles.

    python benchmarks/framing.py --data REALBENCH --out benchmarks/results/framing.csv

Every run trains and evaluates like ``unified.py``, on one category, in its own process, for equally many
windows. Maps are resized to the masks' own size, so that different framings compare. Rows are added as runs
finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from apart import compare
from tables.choices import framing as table_of
from understudy.data.layouts import open_pictures
from unified import fit_and_evaluate, rows_of

TIMED = 50
FRAMINGS: dict[str, dict[str, Any]] = {
    "stretched to 256": {"image_size": 256},
    "padded to 256": {"image_size": 256, "keep_aspect": True},
    "padded to 512": {"image_size": 512, "keep_aspect": True},
    "tiles of 256": {"image_size": 256, "tile": 256, "overlap": 32},
    "tiles of 128, enlarged to 256": {"image_size": 256, "tile": 128, "overlap": 32},
}


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    compare(
        __file__,
        __doc__,
        "framing",
        list(FRAMINGS),
        run,
        table_of,
        method="snl-rd",
        categories="ballscrew",
        seeds="0",
        steps=400,
    )


def run(
    data: Path, method: str, framing: str, seed: int, steps: int, batch_size: int, trained_on: str
) -> list[dict[str, Any]]:
    """Fit and evaluate once."""
    model, metrics = fit_and_evaluate(
        data, [trained_on], method, {}, steps, batch_size, seed, FRAMINGS[framing], "mask"
    )
    key = {"method": method, "framing": framing, "seed": seed, "steps": steps, "trained_on": trained_on}
    paths = [record.path for record in open_pictures(data).only([trained_on]).test()][:TIMED]
    began = time.perf_counter()
    scored = sum(1 for _ in model.inspector.scorer.score(paths))
    speed = {"scored_per_second": round(scored / (time.perf_counter() - began), 2)}
    return [key | row | speed for row in rows_of(model, metrics)]


if __name__ == "__main__":
    main()
