"""A training step of two checkouts of Understudy, in turn, in one run: what a change costs or gains.

    git clone -q . /tmp/before && git -C /tmp/before checkout -q COMMIT
    python benchmarks/editions.py --before /tmp/before --out benchmarks/results/editions.csv

Only their command lines are used, so any two editions compare. One training is longer than the other. The
difference of their times, divided by the difference of their steps, is the time of a step. The lowest of all
rounds counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from machine import append, provenance

METHODS = ("stpm", "rd", "snl-rd")
SHORT = 20  # steps of the shorter training


def main() -> None:
    """Train with both in turn, round by round, and print a line for each method and precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="by which one training is longer")
    parser.add_argument("--precisions", default="32,bf16")
    asked = parser.parse_args()
    editions = {"before": asked.before, "after": Path(__file__).parents[1]}
    with TemporaryDirectory() as place:
        data = Path(place) / "pictures"
        _understudy(editions["after"], "data", "synthesize", str(data), "--pictures", "16")
        for precision in asked.precisions.split(","):
            for method in METHODS:
                best: dict[str, float] = {}
                for number in range(asked.rounds):
                    for edition, checkout in editions.items():
                        each = step_ms(checkout, data, Path(place), method, precision, asked.steps)
                        best[edition] = min(each, best.get(edition, each))
                        facts = {
                            "method": method,
                            "precision": precision,
                            "edition": edition,
                            "round": number,
                        }
                        append(asked.out, [facts | {"step_ms": round(each, 2)} | provenance()])
                ratio = best["after"] / best["before"]
                print(
                    f"{method}, {precision}: {best['before']:.1f} ms, then {best['after']:.1f}: x {ratio:.3f}"
                )


def step_ms(checkout: Path, data: Path, place: Path, method: str, precision: str, more: int) -> float:
    """Milliseconds of one training step, with the teacher run at every step."""
    seconds = []
    for steps in (SHORT, SHORT + more):
        with TemporaryDirectory(dir=place) as folder:
            options = {
                "--out": folder,
                "--method": method,
                "--recipe": "paper",
                "--batch-size": "8",
                "--max-steps": str(steps),
                "--precision": precision,
                "--cache-features": "off",
                "--holdout": "0",
                "--validation": "0" if method == "stpm" else None,
            }
            words = [word for name, value in options.items() if value is not None for word in (name, value)]
            _understudy(checkout, "fit", str(data), *words)
            manifest: dict[str, Any] = json.loads((Path(folder) / "manifest.json").read_text())
            seconds.append(manifest["training"]["seconds"])
    return float(1000 * (seconds[1] - seconds[0]) / more)


def _understudy(checkout: Path, *words: str) -> None:
    """Run a checkout's command line."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "src")}
    run = [sys.executable, "-m", "understudy", *words]
    subprocess.run(run, env=environment, check=True, capture_output=True)


if __name__ == "__main__":
    main()
