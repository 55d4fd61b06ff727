"""The measurements. Both sides use the same functions; this module imports neither of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_post_hook

from memory import peak_mib

__all__ = ["Scorer", "Training", "scoring_rows", "training_row"]

WARM_UP = 3  # training steps, or calls of a scorer, that count in no figure


class Training(NamedTuple):
    """A training that has not started yet.

    Attributes:
        run: starts it; it would go on for the default length of its side.
        batch_size: pictures a step.
        computed_in: precision of the forward and backward pass.
    """

    run: Callable[[], object]
    batch_size: int
    computed_in: str


class Scorer(NamedTuple):
    """A loaded model. Each of its functions scores all pictures that it is given, a batch at a time.

    Attributes:
        of_files: takes (paths, batch size).
        of_arrays: takes ((N, 256, 256, 3) uint8 pictures, batch size).
    """

    of_files: Callable[[Sequence[Path], int], object]
    of_arrays: Callable[[NDArray[np.uint8], int], object]


class _EnoughError(Exception):
    """Stops a training after enough steps."""


def training_row(training: Training, steps: int) -> dict[str, Any]:
    """Train for some steps after the warm-up; measure the time between steps and until the first one ends."""
    began = time.perf_counter()
    stamps = _stamps(training.run, WARM_UP + steps)
    taken = sorted(1000 * (b - a) for a, b in zip(stamps[WARM_UP - 1 :], stamps[WARM_UP:], strict=False))
    return {
        "batch_size": training.batch_size,
        "computed_in": training.computed_in,
        "step_ms": round(median(taken), 2),
        "step_least_ms": round(taken[0], 2),
        "step_most_ms": round(taken[-1], 2),
        "pictures_per_s": round(1000 * training.batch_size / median(taken), 3),
        "first_step_after_s": round(stamps[0] - began, 2),
        "peak_mib": peak_mib(),
    }


def _stamps(run: Callable[[], object], steps: int) -> list[float]:
    """Record when each optimiser step ended, and stop the training after so many."""
    stamps: list[float] = []

    def stamp(*_: object) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        stamps.append(time.perf_counter())
        if len(stamps) == steps:
            raise _EnoughError

    hook = register_optimizer_step_post_hook(stamp)
    try:
        run()
    except _EnoughError:
        return stamps
    finally:
        hook.remove()
    raise RuntimeError(f"the training ended by itself after {len(stamps)} of {steps} steps; ask for fewer")


def scoring_rows(
    scorer: Scorer, files: Sequence[Path], arrays: NDArray[np.uint8], batch_size: int
) -> Iterator[dict[str, Any]]:
    """Score all pictures in batches, first from files and then from memory: one row each."""
    ways: list[tuple[str, Callable[[Any, int], object], Any]] = [
        ("included", scorer.of_files, files),
        ("apart", scorer.of_arrays, arrays),
    ]
    for decode, score, pictures in ways:
        for _ in range(WARM_UP):
            score(pictures[:batch_size], batch_size)
        yield {"decode": decode} | _rates(score, pictures, batch_size) | {"peak_mib": peak_mib()}


def _rates(score: Callable[[Any, int], object], pictures: Any, batch_size: int) -> dict[str, Any]:
    """Measure the throughput of one call with all pictures; of a batch of one, time each picture instead."""
    count = len(pictures)
    if batch_size > 1:
        return {
            "pictures_per_s": round(count / _seconds(score, pictures, batch_size), 2),
            "p50_ms": "",
            "p99_ms": "",
        }
    taken = np.array([_seconds(score, pictures[i : i + 1], 1) for i in range(count)])
    p50, p99 = 1000 * np.percentile(taken, [50, 99])
    return {
        "pictures_per_s": round(count / float(taken.sum()), 2),
        "p50_ms": round(float(p50), 2),
        "p99_ms": round(float(p99), 2),
    }


def _seconds(score: Callable[[Any, int], object], pictures: Any, batch_size: int) -> float:
    began = time.perf_counter()
    score(pictures, batch_size)
    return time.perf_counter() - began
