"""A training step of two checkouts of Understudy, in turn, in one run: what a change costs or gains.

    git clone -q . /tmp/before && git -C /tmp/before checkout -q COMMIT
    python benchmarks/editions.py --before /tmp/before --out benchmarks/results/editions.csv

Each training is a process of its own, which uses `understudy.fit` alone, so any two editions compare. It
notes the time of every tenth step. The median of the gaps, without the first, is the time of a step. The
lowest of all rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from machine import append, provenance

METHODS = ("stpm", "rd", "snl-rd")


def main() -> None:
    """Train with both in turn, round by round, and print a line for each method and precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, help="the other checkout")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--precisions", default="32,bf16")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.train:
        print(step_ms(**json.loads(asked.train)))
        return
    if not (asked.before and asked.out):
        parser.error("--before and --out are needed")
    editions = {"before": asked.before, "after": Path(__file__).resolve().parents[1]}
    with TemporaryDirectory() as place:
        data = str(Path(place) / "pictures")
        run(editions["after"], "-m", "understudy", "data", "synthesize", data, "--pictures", "16")
        for precision in asked.precisions.split(","):
            for method in METHODS:
                best: dict[str, float] = {}
                for number in range(asked.rounds):
                    for edition, checkout in editions.items():
                        job = {"data": data, "method": method, "precision": precision, "steps": asked.steps}
                        each = float(run(checkout, __file__, "--train", json.dumps(job)).splitlines()[-1])
                        best[edition] = min(each, best.get(edition, each))
                        facts = {
                            "method": method,
                            "precision": precision,
                            "edition": edition,
                            "round": number,
                        }
                        append(asked.out, [facts | {"step_ms": each} | provenance()])
                ratio = best["after"] / best["before"]
                said = f"{best['before']:.1f} ms, then {best['after']:.1f}: x {ratio:.3f}"
                print(f"{method}, {precision}: {said}", flush=True)


def step_ms(data: str, method: str, precision: str, steps: int) -> float:
    """Milliseconds of one training step of eight pictures, with the teacher run at every step."""
    import understudy

    times: list[float] = []

    def note(what: str, done: int, total: int, text: str) -> None:
        if what == "train":
            times.append(time.perf_counter())

    is_first_edition = not hasattr(understudy, "Model")
    reporters: Any = import_module("understudy.reporter" if is_first_edition else "understudy.progress")
    options: dict[str, Any] = {
        "reporter" if is_first_edition else "progress": reporters.Reporter(advance=note),
        "method": method,
        "recipe": "paper",
        "batch_size": 8,
        "max_steps": steps,
        "precision": precision,
        "cache_features": "off",
        "holdout": 0.0,
        "validation": 0.0 if method == "stpm" else None,
        "averaging": 0.98,
    }
    with TemporaryDirectory() as folder:
        understudy.fit(data, out=Path(folder) / "model", **options)
    gaps = [(after - before) / 10 for before, after in pairwise(times)]
    return round(1000 * median(gaps[1:]), 2)


def run(checkout: Path, *words: str) -> str:
    """Run Python on a checkout; what it printed."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    done = subprocess.run(
        [sys.executable, *words], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


if __name__ == "__main__":
    main()
