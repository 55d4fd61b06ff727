"""On a processor a batch is worked on picture by picture, so that what one needs stays in the caches.

The terms of a loss work in float32, on tensors several times the features' own size. Those of a whole batch
would come from memory and go there some twenty times over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.losses import (
    CosineReading,
    cosine_distance,
    global_cosine_distance,
    hard_cosine_distance,
)
from understudy.distill.valid import batch_mean
from understudy.types import Pair

__all__ = ["channel_distillation", "image_chunks", "wants_gradient"]


def channel_distillation(pair: Pair, reading: CosineReading = "local") -> Tensor:
    """(B, D, H, W) pair -> scalar; see :func:`understudy.distill.losses.channel_distillation`.

    The gradient is taken chunk by chunk along the way, and goes to the student's features alone.
    """
    if reading == "hard":  # ranks the cells of the whole batch
        return hard_cosine_distance(pair)
    error = global_cosine_distance if reading == "global" else _local_cosine_distance
    mean: Tensor = _BatchMean.apply(
        pair.student, pair.teacher.detach(), pair.valid, error, wants_gradient(pair)
    )
    return mean


def image_chunks(
    student: Tensor, teacher: Tensor, valid: Tensor | None
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """Three (B, ...) -> each chunk's place and tensors: one image at a time on a CPU, all on a GPU."""
    size = 1 if student.device.type == "cpu" else len(student)
    for start in range(0, len(student), size):
        here = slice(start, start + size)
        yield here, student[here], teacher[here], None if valid is None else valid[here]


def wants_gradient(pair: Pair) -> bool:
    """Whether the gradient by the student's features will be asked for."""
    return torch.is_grad_enabled() and pair.student.requires_grad


def _local_cosine_distance(pair: Pair) -> Tensor:
    return batch_mean(cosine_distance(pair), pair.valid)


class _BatchMean(torch.autograd.Function):
    """Sum over the chunks of each one's error, by its share of the batch."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        valid: Tensor | None,
        error: Callable[[Pair], Tensor],
        wanted: bool,
    ) -> Tensor:
        gradient = torch.empty_like(student) if wanted else None
        total = torch.zeros((), device=student.device)
        for here, s, t, v in image_chunks(student, teacher, valid):
            with torch.set_grad_enabled(wanted):
                leaf = s.detach().requires_grad_(wanted)
                part = error(Pair(t, leaf, v)) * (len(s) / len(student))
            if gradient is not None:
                (gradient[here],) = torch.autograd.grad(part, leaf)
            total += part.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * of_mean).to(gradient.dtype), None, None, None, None
