"""On a processor a batch is worked on picture by picture, so that what one needs stays in the caches.

The terms of a loss work in float32, on tensors several times the features' own size. Of a whole batch these
come from memory and go there, some twenty times over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.types import Pair

__all__ = ["batch_mean_of", "pieces", "wants_gradient"]


def pieces(
    student: Tensor, teacher: Tensor, care: Tensor | None
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """Of a batch of pairs: where each piece lies in it, and the piece's tensors; on a GPU all in one."""
    size = 1 if student.device.type == "cpu" else len(student)
    for start in range(0, len(student), size):
        here = slice(start, start + size)
        yield here, student[here], teacher[here], None if care is None else care[here]


def batch_mean_of(error: Callable[[Pair], Tensor], pair: Pair) -> Tensor:
    """Pair of a batch -> scalar: mean over its pictures of ``error``, which is such a mean itself.

    The gradient, which goes to the student's features alone, is taken piece by piece along the way.
    """
    mean: Tensor = _BatchMean.apply(
        pair.student, pair.teacher.detach(), pair.care, error, wants_gradient(pair)
    )
    return mean


def wants_gradient(pair: Pair) -> bool:
    """Whether somebody will ask for the gradient by the student's features."""
    return torch.is_grad_enabled() and pair.student.requires_grad


class _BatchMean(torch.autograd.Function):
    """Sum over the pieces of each one's error, by its share of the batch."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        care: Tensor | None,
        error: Callable[[Pair], Tensor],
        wanted: bool,
    ) -> Tensor:
        gradient = torch.empty_like(student) if wanted else None
        total = torch.zeros((), device=student.device)
        for here, s, t, c in pieces(student, teacher, care):
            with torch.set_grad_enabled(wanted):
                own = s.detach().requires_grad_(wanted)
                part = error(Pair(t, own, c)) * (len(s) / len(student))
            if gradient is not None:
                (gradient[here],) = torch.autograd.grad(part, own)
            total += part.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * of_mean).to(gradient.dtype), None, None, None, None
