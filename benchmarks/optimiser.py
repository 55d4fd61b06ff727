"""One optimiser step over a reverse student in PyTorch's three ways: loop, foreach, fused.

    python benchmarks/optimiser.py --out benchmarks/results/optimiser.csv

The ways take turns on the same student.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam

from machine import append, provenance
from understudy.distill.teacher import Teacher, default_strides
from understudy.methods import build, settings_for

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": partial(Adam, lr=1e-3),
    "SGD with momentum": partial(SGD, lr=1e-3, momentum=0.9),
}
WAYS: dict[str, dict[str, bool]] = {
    "for-loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}


def main() -> None:
    """Time every way over every student, and add one row for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teachers", default="tf_efficientnet_lite0,wide_resnet50_2")
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    for teacher in asked.teachers.split(","):
        for name in OPTIMISERS:
            rows = measured(teacher, name, asked.rounds)
            append(asked.out, rows)
            for row in rows:
                print(f"{teacher}, {name}, {row['way']}: {row['step_ms']} ms", flush=True)


def measured(teacher: str, name: str, rounds: int) -> list[dict[str, Any]]:
    """Measure the median time of a step in every way: one row each."""
    student = student_of(teacher)
    steps = {way: OPTIMISERS[name](student.parameters(), **how) for way, how in WAYS.items()}
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way, optimiser in steps.items():
            began = time.perf_counter()
            optimiser.step()
            if number:  # the first step makes the optimiser's state
                taken[way].append(time.perf_counter() - began)
    facts = {
        "teacher": teacher,
        "parameters": sum(p.numel() for p in student.parameters()),
        "optimiser": name,
        "rounds": rounds,
    }
    return [
        facts | {"way": way, "step_ms": round(1000 * median(own), 2)} | provenance()
        for way, own in taken.items()
    ]


def student_of(teacher: str) -> nn.Module:
    """Make RD's student of a teacher and give every parameter a random gradient."""
    torch.manual_seed(0)
    student = build("rd", Teacher(teacher, default_strides(teacher)), settings_for("rd")).student
    for parameter in student.parameters():
        parameter.grad = torch.randn_like(parameter)
    return student


if __name__ == "__main__":
    main()
