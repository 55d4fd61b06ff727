"""Quality over the time of a training: one model over several categories, by batch, rate and schedule.

    python benchmarks/recipe.py --data REALBENCH --out benchmarks/results/recipe.csv

Every training is one ``understudy fit`` in its own process. At a constant rate, copies of the student are
kept at some steps, and each copy is evaluated afterwards as ``understudy evaluate`` does. A falling rate
reaches zero only at the end of a training, so each length needs its own training. Seconds are those of the
training, without the copies. Rows are added as runs finish. A run whose rows exist is not repeated.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from apart import parser_of, print_rows, run_missing
from machine import read
from tables.choices import recipe as table_of
from understudy import METHODS, Model, Reporter
from understudy.distill.distiller import Distiller
from understudy.distill.teacher import Teacher
from understudy.types import Schedule
from unified import RECIPE, rows_of

RECIPES = "8:0.005:constant,8:0.005:cosine,16:0.005:cosine"


def main() -> None:
    """Run what is missing, seed by seed, and print the table."""
    parser = parser_of(__doc__, categories="ballscrew,hazelnut,cookie")
    parser.add_argument("--method", default="snl-rd")
    parser.add_argument("--recipes", default=RECIPES, help="batch:rate:schedule, separated by commas")
    parser.add_argument(
        "--points", default="100,200,400,800,1500", help="steps to evaluate after, multiples of ten"
    )
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    if any(int(point) % 10 for point in asked.points.split(",")):
        parser.error(f"a training reports every ten steps; give multiples of ten, not {asked.points}")
    for seed in map(int, asked.seeds.split(",")):
        for recipe in asked.recipes.split(","):
            batch_size, lr, schedule = recipe.split(":")
            points = asked.points.split(",")
            for watched in [" ".join(points)] if schedule == "constant" else points:
                job = {
                    "method": asked.method,
                    "batch_size": int(batch_size),
                    "lr": float(lr),
                    "schedule": schedule,
                    "seed": seed,
                    "points": watched,
                    "trained_on": asked.categories.replace(",", " "),
                }
                run_missing(__file__, asked.data, asked.out, job)
    print(table_of(read(asked.out)))


class Copies:
    """Copies of a student at some steps of its training, and when they were taken.

    Args:
        method: name of the method; the next student that it makes is watched.
        points: steps to take a copy after.

    Attributes:
        weights: weights of the student, by step.
        seconds: seconds from the first report to each step, without those for the copies.
        last: seconds from the first report to the last one, without those for the copies.
        copying: seconds that the copies took.
    """

    def __init__(self, method: str, points: list[int]) -> None:
        self.weights: dict[int, dict[str, Tensor]] = {}
        self.seconds: dict[int, float] = {}
        self.last = self.copying = 0.0
        self._points, self._began = points, 0.0
        known = METHODS[method]

        def compose(teacher: Teacher, settings: Any) -> Distiller:
            self._watched = known.compose(teacher, settings)
            return self._watched

        METHODS[method] = replace(known, compose=compose)

    def advance(self, what: str, done: int, total: int, note: str) -> None:
        """Take a copy if this is one of the steps."""
        if what != "train":
            return
        now = time.monotonic()
        self._began = self._began or now
        self.last = now - self._began - self.copying
        if done in self._points:
            self.seconds[done] = self.last
            self.weights[done] = {k: v.detach().cpu().clone() for k, v in self._watched.learned().items()}
            self.copying += time.monotonic() - now


def run(
    data: Path,
    method: str,
    batch_size: int,
    lr: float,
    schedule: Schedule,
    seed: int,
    points: str,
    trained_on: str,
) -> list[dict[str, Any]]:
    """Fit once and evaluate every copy: one row for each point and category."""
    key = {"method": method, "lr": lr, "schedule": schedule, "seed": seed, "points": points}
    key["trained_on"] = trained_on
    steps, categories = [int(point) for point in points.split()], trained_on.split()
    copies = Copies(method, steps)
    with tempfile.TemporaryDirectory() as folder:
        model = Model.fit(
            data,
            out=Path(folder) / "model",
            progress=Reporter(say=print, advance=copies.advance),
            method=method,
            categories=tuple(categories),
            max_steps=max(steps),
            batch_size=batch_size,
            lr=lr,
            schedule=schedule,
            seed=seed,
            **RECIPE | {"sampling": "balanced"},  # it averages no weights: a copy holds the last ones
        )
    model.inspector.calibration = None  # its thresholds are those of the last step
    trained = model.manifest.training.seconds - copies.copying
    rows = []
    for step in steps:
        model.distiller.load_learned(copies.weights[step])
        evaluation = model.evaluate(data, categories=categories, progress=False)
        at = {"step": step, "seconds": round(trained - copies.last + copies.seconds[step], 1)}
        rows += [key | at | row for row in rows_of(model, evaluation.metrics)]
    return rows


if __name__ == "__main__":
    main()
