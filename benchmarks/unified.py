"""One model over several categories of real pictures: quality and training time, per method and seed.

    python benchmarks/unified.py --data REALBENCH --out benchmarks/results/unified.csv

Every run is ``understudy fit --recipe paper --statistics recomputed`` and ``understudy evaluate``. A share of
the good pictures is held out, the length is fixed, and nothing is chosen on test pictures. Rows are added as
runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import append, provenance, read
from understudy import Model, Reporter
from understudy.evaluate import NAMES, MapResolution

# label -> method and settings; all have the batch of 8 that the SNL paper gives to both
RUNS: dict[str, tuple[str, dict[str, object]]] = {
    "RD, cosine of whole tensors (release)": ("rd", {}),
    "SNL(RD)": ("snl-rd", {}),
    "RD, cosine per position (paper)": ("rd", {"cosine": "local"}),
}
BATCH_SIZE = 8
RECIPE: dict[str, Any] = {"recipe": "paper", "statistics": "recomputed"}
"""The literature's recipe. With running statistics some products would be lost by chance."""


def main() -> None:
    """Run what is missing, seed by seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default="ballscrew,hazelnut,cookie")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=1500)
    asked = parser.parse_args()
    categories = asked.categories.split(",")
    for label in RUNS:
        for seed in map(int, asked.seeds.split(",")):
            key = {
                "method": label,
                "seed": str(seed),
                "steps": str(asked.steps),
                "trained_on": " ".join(categories),
            }
            if any(all(row[k] == v for k, v in key.items()) for row in read(asked.out)):
                continue
            rows = run(label, seed, asked.steps, asked.data, categories)
            append(asked.out, [{**key, **row} for row in rows])


def run(label: str, seed: int, steps: int, data: Path, categories: list[str]) -> list[dict[str, Any]]:
    """Fit and evaluate once: one row a category."""
    method, settings = RUNS[label]
    model, metrics = fit_and_evaluate(data, categories, method, settings, steps, BATCH_SIZE, seed)
    print(label, seed, {k: round(100 * v, 1) for k, v in metrics["mean"].items()}, flush=True)
    return rows_of(model, metrics)


def fit_and_evaluate(
    data: Path,
    categories: list[str],
    method: str,
    settings: dict[str, object],
    steps: int,
    batch_size: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    map_resolution: MapResolution = "model",
) -> tuple[Model, dict[str, Any]]:
    """Fit by :data:`RECIPE`, unless options say otherwise, and evaluate: model and metrics."""
    with tempfile.TemporaryDirectory() as folder:
        model = Model.fit(
            data,
            out=Path(folder) / "model",
            progress=Reporter(say=print),
            method=method,
            settings=settings,
            categories=tuple(categories),
            max_steps=steps,
            batch_size=batch_size,
            seed=seed,
            **RECIPE | dict(options or {}),
        )
        found = model.evaluate(data, categories=categories, map_resolution=map_resolution, progress=False)
        return model, found.metrics


def rows_of(model: Model, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Make the rows of one evaluated model: one row a category."""
    facts = provenance() | {
        "batch_size": model.manifest.training.batch_size,
        "image_size": metrics["image_size"],
        "teacher": metrics["teacher"],
        "precision": model.manifest.training.precision,
        "train_seconds": model.manifest.training.seconds,
    }
    return [
        {"category": category} | {name: _rounded(found[name]) for name in NAMES} | facts
        for category, found in metrics["categories"].items()
    ]


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 5)


if __name__ == "__main__":
    main()
