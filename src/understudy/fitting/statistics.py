"""What a student's batch normalisation takes for usual once it no longer sees batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["MOST_BATCHES", "recompute_statistics"]

MOST_BATCHES = 32  # more change nothing that a figure shows (docs/decisions/0033)

_Batch = TypeVar("_Batch")


def recompute_statistics(
    student: nn.Module, batches: Iterable[_Batch], forward: Callable[[_Batch], object]
) -> None:
    """Give every batch normalisation the mean of its statistics over some batches, with final weights.

    A training leaves a running mean over the last ten batches or so, most of them seen with older weights;
    with several products that differ, a product may be judged by statistics that are not its student's.

    Args:
        student: changed in place; in eval mode afterwards. A layer that no batch reaches stays as it is.
        batches: like those of the training.
        forward: shows one to the student.
    """
    layers = [m for m in student.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    before = [(layer.momentum, {k: v.clone() for k, v in layer.state_dict().items()}) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a plain mean
    student.train()
    with torch.no_grad():
        for batch in batches:
            forward(batch)
    for layer, (momentum, state) in zip(layers, before, strict=True):
        layer.momentum = momentum
        if not layer.num_batches_tracked:
            layer.load_state_dict(state)
    student.eval()
