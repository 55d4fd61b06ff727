"""Precision of a training: chosen by a measurement on this processor, with layers of the student's shapes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import nn

from understudy.types import Level, PrecisionChoice

__all__ = [
    "ChosenPrecision",
    "choose_precision",
    "describe_precision",
    "measure_precisions",
    "resolve_precision",
]


TrainingPrecision = Literal["32", "bf16"]

_WORTH_IT = 1.1  # times as fast; below, float32 is exact for nearly the same time
_SECONDS = 0.5
_ROUNDS = 3  # at least
_OPERATIONS = 1.5e9  # of a level in a round, at most
_USUAL = (Level(40, 8), Level(112, 16), Level(320, 32))  # of the embedded teacher
_SIDE, _BATCH = 256, 8


@dataclass(frozen=True)
class ChosenPrecision:
    """Precision of a training, and why.

    Attributes:
        precision: ``32`` or ``bf16``.
        milliseconds: shortest time of the same layers in each precision, by its name; ``None`` if nothing
            was measured, because a precision was asked for or the device is a GPU.
    """

    precision: TrainingPrecision
    milliseconds: Mapping[str, float] | None = None


def describe_precision(precision: str, milliseconds: Mapping[str, float] | None) -> str:
    """Say a precision, and what was measured to choose it, if anything was."""
    if milliseconds is None:
        return precision
    both = f"{milliseconds['32']:.1f} ms in float32, {milliseconds['bf16']:.1f} ms in bf16"
    return f"{precision} (layers like these take {both})"


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> TrainingPrecision:
    """Choose the precision for the default teacher; see :func:`choose_precision`."""
    return choose_precision(choice, device).precision


def choose_precision(
    choice: PrecisionChoice,
    device: torch.device,
    levels: Sequence[Level] = _USUAL,
    image_size: int = _SIDE,
    batch_size: int = _BATCH,
) -> ChosenPrecision:
    """Choose the precision of a training; ``auto`` takes bf16 where it is faster.

    A processor may have instructions for bf16 and still be slower with them, or the other way round, so its
    flags decide nothing.

    Args:
        choice: what was asked for.
        device: device that trains. A GPU is not measured: it takes bf16 from compute capability 8.0 on.
        levels: levels of the teacher, which the student's layers follow.
        image_size: side of the network's input in pixels.
        batch_size: pictures per step.
    """
    if choice != "auto":
        return ChosenPrecision(choice)
    if device.type == "cuda":
        able = torch.cuda.get_device_capability(device) >= (8, 0)
        return ChosenPrecision("bf16" if able else "32")
    shapes = tuple(_shape(level, image_size, batch_size) for level in levels)
    found = measure_precisions(shapes, torch.get_num_threads())
    faster = found["32"] / found["bf16"] > _WORTH_IT
    return ChosenPrecision("bf16" if faster else "32", found)


def _shape(level: Level, image_size: int, batch_size: int) -> tuple[int, int, int]:
    """Return pictures, channels and side of a level, with fewer cells where they would take too long."""
    side = max(1, image_size // level.stride)
    room = max(1, int(_OPERATIONS / (2 * 3 * 9 * level.channels**2)))  # cells, forwards and backwards
    return max(1, min(batch_size, room // side**2)), level.channels, min(side, max(1, math.isqrt(room)))


@cache
def measure_precisions(shapes: tuple[tuple[int, int, int], ...], threads: int) -> Mapping[str, float]:
    """Time a convolution and a normalisation of each shape, forwards and backwards, for half a second.

    The shortest of some rounds counts, and both precisions take turns, because other programs take time too.
    Nothing is measured twice in a process.

    Args:
        shapes: (pictures, channels, side) of each level.
        threads: number of threads that compute; times of another number are no answer.

    Returns:
        Milliseconds of a round, by precision.
    """
    with torch.random.fork_rng(devices=[]):  # a measurement draws no number of a training
        layers = [_layer(channels) for _, channels, _ in shapes]
    images = [torch.ones(n, c, s, s).to(memory_format=torch.channels_last) for n, c, s in shapes]
    every = list(zip(layers, images, strict=True))
    seconds = {"32": math.inf, "bf16": math.inf}
    began, rounds = math.inf, -1
    while rounds < _ROUNDS or time.perf_counter() - began < _SECONDS:
        for precision in seconds:
            start = time.perf_counter()
            with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                total = torch.stack([layer(image).float().square().sum() for layer, image in every]).sum()
                total.backward()  # type: ignore[no-untyped-call]
            if rounds >= 0:  # the first one prepares the layers
                seconds[precision] = min(seconds[precision], time.perf_counter() - start)
        began = min(began, time.perf_counter())
        rounds += 1
    return {precision: round(1000 * each, 3) for precision, each in seconds.items()}


def _layer(channels: int) -> nn.Module:
    """Make a convolution, a normalisation and a ReLU, as a student has them."""
    layers = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU()
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)
