"""Exported models beside the model in torch: how equal they are, and what bf16 and int8 cost and gain.

    python benchmarks/export.py --data REALBENCH --out benchmarks/results/export.csv

Every method is trained, exported to each format in each precision, and scored on the test pictures. Times are
those of the network alone. The runtimes alternate on the same windows, with equally many threads. Rows are
added as methods finish. A method whose rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

import understudy
from apart import print_rows, run_missing
from machine import provenance
from understudy import Inspector, Model, Reporter, WorkError
from understudy.data.layouts import open_pictures
from understudy.data.records import Record
from understudy.metrics import Ranking
from understudy.progress import untimed
from understudy.runtime.graph import Network
from understudy.runtime.manifest import ParityCard
from understudy.runtime.scoring import Scored, Scorer
from understudy.runtime.sources import usable_cores
from understudy.types import GraphFormat, GraphPrecision

WAYS: tuple[tuple[GraphFormat, GraphPrecision], ...] = (
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("openvino", "float32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
BATCH_SIZE, ROUNDS = 8, 9


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--categories", default="", help="products, separated by commas; all by default")
    parser.add_argument("--methods", default=",".join(understudy.METHODS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    categories = asked.categories.split(",") if asked.categories else open_pictures(asked.data).categories
    for method in asked.methods.split(","):
        job = {
            "method": method,
            "trained_on": " ".join(categories),
            "steps": asked.steps,
            "image_size": asked.image_size,
        }
        run_missing(__file__, asked.data, asked.out, job)


def run(data: Path, method: str, trained_on: str, steps: int, image_size: int) -> list[dict[str, Any]]:
    """Train one model and export it in every way: one row each, also for an export that was refused."""
    key = {k: v for k, v in locals().items() if k != "data"}
    torch.set_num_threads(usable_cores())
    categories = trained_on.split()
    rows = []
    with TemporaryDirectory() as place:
        folder = Path(place) / "model"
        model = Model.fit(
            data,
            out=folder,
            method=method,
            categories=tuple(categories),
            max_steps=steps,
            batch_size=BATCH_SIZE,
            image_size=image_size,
            device="cpu",
            precision="32",
            progress=Reporter(say=print),
        )
        test = open_pictures(data).only(categories).test()
        in_torch = image_auroc(model.inspector.scorer, test)
        size = megabytes(folder, "*.safetensors")
        for form, precision in WAYS:
            exported = Exported(model, Path(place) / f"{form}-{precision}", form, precision, data)
            row = {"format": form, "graph": precision}
            rows.append(key | row | exported.figures(test, in_torch, size) | origin(model))
    return rows


class Exported:
    """One export of a model, or why it was refused."""

    def __init__(
        self, model: Model, out: Path, form: GraphFormat, precision: GraphPrecision, data: Path
    ) -> None:
        self.model, self.out, self.fault = model, out, ""
        try:
            graph = model.export(out, format=form, precision=precision, data=data, progress=False).graph
            self.parity = graph.parity if graph else None
        except WorkError as error:
            self.parity, self.fault = None, str(error).partition(": ")[2].partition(";")[0]

    def figures(self, test: list[Record], in_torch: float, size: float) -> dict[str, Any]:
        """Make all columns of measurements; they are empty if the export was refused."""
        if self.parity is None:
            return dict.fromkeys(COLUMNS, "") | {"refused": self.fault, "image_auroc_torch": in_torch}
        inspector = Inspector.load(self.out)
        own = megabytes(self.out, "model.*")
        values = (
            "",
            *errors(self.parity),
            in_torch,
            image_auroc(inspector.scorer, test),
            speed(
                self.model.inspector.scorer.network,
                inspector.scorer.network,
                self.model.preprocess.image_size,
            ),
            own,
            own / size,
        )
        return dict(zip(COLUMNS, values, strict=True))


COLUMNS = (
    "refused",
    "runtime",
    "windows",
    "map_error",
    "score_error",
    "rank_correlation",
    "verdicts_alike",
    "verdicts_other",
    "image_auroc_torch",
    "image_auroc",
    "speed",
    "size_mb",
    "size_ratio",
)


def errors(parity: ParityCard) -> tuple[Any, ...]:
    """List what an export has proved; errors are shares of the range of the maps."""
    alike, other = parity.verdicts or ("", "")
    return (
        parity.runtime,
        parity.windows,
        parity.map_error_relative,
        parity.score_error_relative,
        parity.rank_correlation,
        alike,
        other,
    )


def image_auroc(scorer: Scorer, test: list[Record]) -> float:
    """Mean image AUROC over the categories."""
    scored = scorer.score([r.path for r in test], BATCH_SIZE, [r.category for r in test])
    found = [(r, s.score) for r, s in zip(test, scored, strict=True) if isinstance(s, Scored)]
    values = []
    for category in sorted({r.category for r in test}):
        own = [(score, not r.is_good) for r, score in found if r.category == category]
        scores, defective = (np.array(column) for column in zip(*own, strict=True))
        values.append(Ranking(scores, defective).auroc())
    return mean(value for value in values if value is not None)


def speed(in_torch: Network, graph: Network, side: int) -> float:
    """How many times as fast as torch a graph is. The first round warms both up and does not count."""
    images = np.random.default_rng(0).normal(size=(BATCH_SIZE, 3, side, side)).astype(np.float32)
    taken: dict[Network, list[float]] = {in_torch: [], graph: []}
    for _ in range(ROUNDS + 1):
        for network, own in taken.items():
            began = time.perf_counter()
            network(images, None, untimed)
            own.append(time.perf_counter() - began)
    return median(taken[in_torch][1:]) / median(taken[graph][1:])


def megabytes(folder: Path, pattern: str) -> float:
    """Total size of some files."""
    return sum(file.stat().st_size for file in folder.glob(pattern)) / 1e6


def origin(model: Model) -> dict[str, str]:
    """Teacher, machine and versions."""
    return {"teacher": model.manifest.teacher.name, "threads": str(usable_cores())} | provenance()


if __name__ == "__main__":
    main()
