"""One job of ``versus_anomalib.py``, run in the environment of its side.

    python versus_child.py ours|theirs PART TASK

TASK is a JSON object. Its ``job`` identifies the rows, and its ``places`` are folders.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from answers import print_rows
from memory import peak_mib
from versus.installed import versions
from versus.measure import scoring_rows, training_row

Row = dict[str, Any]


def main(side: str, part: str, task: dict[str, Any]) -> None:
    """Do the job and print its rows."""
    places = {name: Path(place) for name, place in task["places"].items()}
    os.chdir(places["scratch"])  # libraries leave files behind there
    rows = PARTS[part](importlib.import_module(f"versus.{side}"), places, task["job"])
    print_rows([task["job"] | row | {"versions": versions()} for row in rows])


def train(side: Any, places: dict[str, Path], job: Row) -> list[Row]:
    """Time some steps of a training."""
    training = side.training(
        places["data"],
        places["scratch"],
        job["method"],
        None if job["batch"] == "default" else job["batch"],
        None if job["precision"] == "default" else job["precision"],
        job["cache_features"],
    )
    return [training_row(training, job["steps"])]


def prepare(side: Any, places: dict[str, Path], job: Row) -> list[Row]:
    """Save a model for scoring."""
    side.prepare(places["data"], places["model"], job["method"], job["exported"])
    return [{}]


def score(side: Any, places: dict[str, Path], job: Row) -> list[Row]:
    """Time the scoring of all pictures."""
    files = sorted(places["pictures"].iterdir())
    arrays = np.load(places["arrays"])
    return list(scoring_rows(side.scorer(places["model"], job["way"]), files, arrays, job["batch_size"]))


def learn(side: Any, places: dict[str, Path], job: Row) -> list[Row]:
    """Train, and save maps and scores of the test pictures."""
    files = json.loads(places["files"].read_text(encoding="utf-8"))
    began = time.perf_counter()
    model = side.learned(places["data"], places["scratch"], job["steps"], job["batch_size"], job["seed"])
    seconds = round(time.perf_counter() - began, 1)
    maps, scores = side.maps_of(model, [Path(file) for file in files])
    np.savez(places["scratch"] / "found.npz", maps=maps, scores=scores)
    return [{"seconds": seconds, "peak_mib": peak_mib()}]


PARTS = {"training": train, "prepare": prepare, "scoring": score, "accuracy": learn}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
