"""DSKD on a synthetic kit with logical and structural anomalies: the map of each student, and both fused.

    python benchmarks/logical.py --out benchmarks/results/logical.csv

For each seed a new data set is made and a model is trained for a fixed length. Then every map is evaluated on
the same test pictures: image AUROC of logical anomalies, of structural ones, and of both, against the good
ones.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from machine import append, provenance, read
from understudy import Model, Reporter
from understudy.distill.fusion import Fusion
from understudy.lab.factory.write import LogicalPlan, write_logical
from understudy.methods import parse_assignments


def main() -> None:
    """Run the seeds that are missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args()
    for seed in asked.seeds.split(","):
        key = {"seed": seed, "steps": str(asked.steps), "settings": " ".join(asked.set)}
        if any(all(row[k] == v for k, v in key.items()) for row in read(asked.out)):
            continue
        options: dict[str, Any] = {"max_steps": asked.steps, "batch_size": asked.batch_size}
        rows = run(int(seed), parse_assignments(asked.set), options)
        append(asked.out, [{**key, **row, **provenance()} for row in rows])


def run(seed: int, settings: dict[str, object], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Make a data set, train, and evaluate each map: one row a map."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "kit"
        write_logical(data, LogicalPlan(seed=seed))
        model = Model.fit(
            data,
            out=Path(folder) / "model",
            progress=Reporter(say=print),
            method="dskd",
            settings=settings,
            seed=seed,
            **options,
        )
        model.inspector.calibration = None  # its thresholds are those of the fused map
        whole = model.distiller.to_map
        assert isinstance(whole, Fusion)
        rows = []
        for name in [*whole.parts, "fused"]:
            model.distiller.to_map = whole if name == "fused" else only(whole, name)
            evaluation = model.evaluate(data, progress=False)
            (found,) = evaluation.metrics["categories"].values()
            kinds = {k.split("_")[0]: round(v["image_auroc"], 5) for k, v in found["defects"].items()}
            training = model.manifest.training
            row = {"map": name, **kinds, "all": round(found["image_auroc"], 5)}
            print(seed, row, flush=True)
            rows.append(
                row
                | {"pixel_auroc": round(found["pixel_auroc"], 5)}
                | {"batch_size": training.batch_size, "train_seconds": training.seconds}
                | {"image_size": model.preprocess.image_size, "precision": training.precision}
                | {"teacher": model.manifest.teacher.name}
            )
    return rows


def only(whole: Fusion, name: str) -> Fusion:
    """Keep one part of a fusion, with its scale."""
    at = list(whole.parts).index(name)
    part = Fusion({name: whole.parts[name]}, whole.scaling)
    part.zero.copy_(whole.zero[at : at + 1])
    part.unit.copy_(whole.unit[at : at + 1])
    return part


if __name__ == "__main__":
    main()
