"""What SNL's terms add to a training step of RD, in time and memory, with features computed or cached.

    python benchmarks/structure_cost.py --out benchmarks/results/structure_cost.csv

Both methods alternate (A-B-A-B). Each training runs in its own process, on synthetic pictures, with a
WideResNet-50 of random weights. Then SNL learns from one large picture at a time within ``--memory-cap``
gigabytes: once with our affinity kernels (``ours``), and once with the plain equations, which hold the whole
matrices (``naive``). What does not fit gets a row that says so. Rows are added as runs finish. A run whose
rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apart import print_rows, run_missing
from feature_cache import FIGURES, WAYS
from machine import provenance, read
from memory import cap_memory, is_out_of_memory, matrix_bytes
from tables.cost import structure_cost
from timed_training import good_pictures, timed_training
from understudy.distill.acceleration import plain_equations, use_kernels
from understudy.distill.affinity import inter_affinity_distillation, intra_affinity_distillation
from understudy.distill.teacher import default_strides
from understudy.kernels import KERNELS

METHODS = ("rd", "snl-rd")
AFFINITIES = (intra_affinity_distillation, inter_affinity_distillation)


def main() -> None:
    """Run what is missing, round by round, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default="wide_resnet50_2")
    parser.add_argument("--weights", default="random", help="teacher's weights: a file, or the word random")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--precisions", default="auto,32")
    parser.add_argument("--large", type=int, default=1024, help="side of the large picture; 0 leaves it out")
    parser.add_argument("--memory-cap", type=float, default=20.0, help="gigabytes for the large picture")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    common: dict[str, Any] = {"teacher": asked.teacher, "weights": asked.weights, "affinity": "ours"}
    usual = common | {"batch_size": asked.batch_size, "image_size": asked.image_size, "memory_cap_gb": 0}
    with TemporaryDirectory() as made:
        data = good_pictures(Path(made), asked.image_size)
        for number in range(asked.rounds):
            for precision in asked.precisions.split(","):
                for way in WAYS:
                    for method in METHODS:
                        job = {"method": method, "cache_features": way, "precision": precision}
                        job |= {"number": number, "steps": asked.steps}
                        run_missing(__file__, data, asked.out, job | usual)
    if asked.large:
        job = {"method": "snl-rd", "cache_features": "off", "precision": "auto", "number": 0, "steps": 20}
        job |= common | {"batch_size": 1, "image_size": asked.large, "memory_cap_gb": asked.memory_cap}
        with TemporaryDirectory() as made:
            data = good_pictures(Path(made), asked.large, each=1)
            for affinity in ("ours", "naive"):
                run_missing(__file__, data, asked.out, job | {"affinity": affinity})
    print(structure_cost(read(asked.out)))


def run(data: Path, affinity: str, memory_cap_gb: float, number: int, **training: Any) -> dict[str, Any]:
    """Train once: one row, without figures if the memory was not enough."""
    if memory_cap_gb:
        cap_memory(memory_cap_gb)
    outcome, found = "measured", dict.fromkeys(FIGURES, "")
    try:
        with plain_affinities() if affinity == "naive" else nullcontext():
            found = timed_training(data, **training)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        outcome = "does not fit"
    positions = (training["image_size"] // default_strides(training["teacher"])[0]) ** 2
    batch_size = training["batch_size"]
    needed = matrix_bytes(batch_size, positions, terms=1 if batch_size == 1 else 2)
    return (
        training
        | {"number": number}
        | {"affinity": affinity, "memory_cap_gb": memory_cap_gb}
        | {"outcome": outcome, "naive_needs_gb": round(needed / 1e9, 3)}
        | {name: found[name] for name in FIGURES}
        | provenance()
    )


@contextmanager
def plain_affinities() -> Iterator[None]:
    """Compute the affinity terms by their plain equations, and all else with its kernels."""
    with plain_equations():
        use_kernels({plain: twin for plain, twin in KERNELS.items() if plain not in AFFINITIES})
        yield


if __name__ == "__main__":
    main()
