"""Time and memory of the affinity losses, forward and backward: our kernels and the plain equations.

    python benchmarks/affinity.py --out benchmarks/results/affinity.csv

Features are random and have the shapes of a WideResNet-50's levels. Intra- and inter-affinity are summed over
the levels, as a training step does. A form called ``naive`` runs the plain equations, which hold the whole
matrices. Every measurement runs in its own process, which may take ``--memory-cap`` gigabytes and
``--time-cap`` seconds. What needs more gets a row that says so. Rows are added as runs finish. A run whose
rows exist is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch

import understudy.kernels  # noqa: F401  (it puts the kernels in the place of the plain equations)
from apart import print_rows, run_missing
from machine import provenance, read
from memory import cap_memory, is_out_of_memory, matrix_bytes, peak_mib, resident_mib
from tables.cost import memory_exponent
from understudy.distill.acceleration import one_batch, plain_equations
from understudy.distill.affinity import (
    AffinityForm,
    inter_affinity_distillation,
    intra_affinity_distillation,
)
from understudy.types import Pair

CHANNELS = {4: 256, 8: 512, 16: 1024}  # stride -> channels of a WideResNet-50's level
FORMS = ("squared", "rms", "abs", "naive squared", "naive abs")
ENOUGH_S = 60  # after so many seconds nothing is repeated


def main() -> None:
    """Run what is missing and print how memory grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--forms", default=",".join(FORMS))
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--batch-sizes", default="1,8")
    parser.add_argument("--strides", default="4 8 16", help="levels that are summed over")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-cap", type=float, default=20.0, help="gigabytes of a process")
    parser.add_argument("--time-cap", type=float, default=900.0, help="seconds of a process")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(**json.loads(asked.run))])
        return
    for size in map(int, asked.sizes.split(",")):
        for batch_size in map(int, asked.batch_sizes.split(",")):
            for form in asked.forms.split(","):
                job = {
                    "form": form,
                    "image_size": size,
                    "batch_size": batch_size,
                    "strides": asked.strides,
                    "rounds": asked.rounds,
                    "memory_cap_gb": asked.memory_cap,
                }
                late = row(job, f"takes more than {asked.time_cap:g} s")
                run_missing(__file__, None, asked.out, job, asked.time_cap, [late])
    exponent = memory_exponent(read(asked.out), "squared")
    print("memory of `squared` grows with pixels to the power of", exponent and f"{exponent:.2f}")


def run(
    form: str, image_size: int, batch_size: int, strides: str, rounds: int, memory_cap_gb: float
) -> dict[str, Any]:
    """Measure one form at one size: one row."""
    job = locals().copy()
    levels = [int(stride) for stride in strides.split()]
    torch.manual_seed(0)
    forward_and_backward(form, features(levels, 32, 2))  # libraries take some memory once, at their first use
    pairs = features(levels, image_size, batch_size)
    before = resident_mib()
    cap_memory(memory_cap_gb)
    taken: list[float] = []
    try:
        while len(taken) < rounds and sum(taken) < ENOUGH_S:
            began = time.perf_counter()
            forward_and_backward(form, pairs)
            taken.append(time.perf_counter() - began)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return row(job, "does not fit")
    figures = {"seconds": round(median(taken), 4), "before_mib": before, "own_mib": peak_mib() - before}
    return row(job, "measured", figures)


def row(job: dict[str, Any], outcome: str, figures: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make a row of the results; its figures are empty where nothing could be measured."""
    finest = min(int(stride) for stride in job["strides"].split())
    terms = 2 if job["batch_size"] > 1 else 1
    naive = matrix_bytes(job["batch_size"], (job["image_size"] // finest) ** 2, terms)
    return (
        job
        | {"terms": terms, "outcome": outcome, "naive_needs_gb": round(naive / 1e9, 3)}
        | (figures or dict.fromkeys(("seconds", "before_mib", "own_mib"), ""))
        | provenance()
    )


def features(strides: Sequence[int], image_size: int, batch_size: int) -> list[Pair]:
    """Draw random features of every level; those of the student take a gradient."""
    pairs = []
    for stride in strides:
        shape = (batch_size, CHANNELS[stride], image_size // stride, image_size // stride)
        pairs.append(Pair(torch.randn(shape), torch.randn(shape, requires_grad=True)))
    return pairs


def forward_and_backward(form: str, pairs: list[Pair]) -> None:
    """Compute the affinity terms of a training step over all levels, and their gradients.

    A batch of one has no inter-affinity, because a picture has no partner there.
    """
    name = cast(AffinityForm, form.removeprefix("naive "))
    errors = []
    with nullcontext() if form == name else plain_equations(), one_batch():
        for pair in pairs:
            errors.append(intra_affinity_distillation(pair, name))
            if len(pair.teacher) > 1:
                errors.append(inter_affinity_distillation(pair, 1, name))
    torch.stack(errors).sum().backward()  # type: ignore[no-untyped-call]
    for pair in pairs:
        pair.student.grad = None


if __name__ == "__main__":
    main()
