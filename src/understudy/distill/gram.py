"""Squared affinity errors through D x D Gram matrices, never the n x n affinities themselves.

With unit columns T of the teacher, S of the student and their difference E = S - T, the affinities to a
partner (marked ') differ by SᵀS' - TᵀT' = EᵀS' + TᵀE'. Its squares add up to
⟨EEᵀ, S'S'ᵀ⟩ + ⟨TTᵀ, E'E'ᵀ⟩ + 2⟨ETᵀ, S'E'ᵀ⟩, and S is T + E: three matrices a picture give its error to any
partner. As each summand is small where E is, nothing cancels between a student and a teacher that agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.care import counted
from understudy.distill.pieces import pieces

__all__ = ["Grams", "grams", "grams_of"]

Normalise = Callable[[Tensor, Tensor | None], Tensor]
"""(B, D, H, W) features, which cells count -> (B, D, n) float32."""


class Grams(NamedTuple):
    """Products of each picture's columns, (B, D, D) each.

    Attributes:
        error: EEᵀ.
        cross: ETᵀ.
        teacher: TTᵀ.
        cells: (B,), how many columns count; the others are zero.
    """

    error: Tensor
    cross: Tensor
    teacher: Tensor
    cells: Tensor

    def squared_error(self, shift: int) -> Tensor:
        """(B,): mean over all positions i, j of the squared error of the affinity to the partner.

        Picture b's partner is picture (b + shift) mod B.
        """
        total: Tensor = _SquaredError.apply(self.error, self.cross, self.teacher, shift)
        mean: Tensor = total.clamp_min(0) / (self.cells * self.cells.roll(-shift))
        return mean


def grams(teacher: Tensor, student: Tensor, care: Tensor | None) -> Grams:
    """Two (B, D, n) of unit columns -> their products."""
    error = student - teacher
    products = (error @ error.mT, error @ teacher.mT, teacher @ teacher.mT)
    return Grams(*products, cells=counted(care, teacher))


def grams_of(teacher: Tensor, student: Tensor, care: Tensor | None, normalise: Normalise) -> Grams:
    """Two (B, D, H, W) features of any precision -> :func:`grams` of what ``normalise`` makes of them.

    The gradient goes to the student's alone. Features of bfloat16 are multiplied in it and summed in float32:
    each product is off by its own rounding, not by that of larger ones that would have to cancel.
    """
    error, cross, of_teacher = _GramsOf.apply(student, teacher, care, normalise)
    return Grams(error, cross, of_teacher, counted(care, teacher))


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Product of two batches; a batch of one as two matrices, which processors multiply faster."""
    return (a[0] @ b[0])[None] if len(a) == 1 else a @ b


class _SquaredError(torch.autograd.Function):
    """(B, D, D) products -> (B,) sums of squares: a picture and its partner at a time, as caches like it."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, cross: Tensor, teacher: Tensor, shift: int) -> Tensor:
        ctx.save_for_backward(error, cross, teacher)
        ctx.shift = shift
        total = error.new_empty(len(error))
        for b in range(len(error)):
            other = (b + shift) % len(error)
            of_error, of_cross = _slopes(error[other], cross[other], teacher[other])
            parts = ((error[b], of_error), (cross[b], of_cross), (teacher[b], error[other]))
            total[b] = torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in parts]).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor | None, ...]:
        """A picture has a part in its own sum and, in the same way, in that of whose partner it is."""
        count = len(of_total)
        slopes = [_slopes(*products) for products in zip(*ctx.saved_tensors, strict=True)]
        gradients = [torch.empty_like(products) for products in ctx.saved_tensors[:2]]
        for b in range(count):
            other, partner_of = (b + ctx.shift) % count, (b - ctx.shift) % count
            for gradient, its, whose in zip(gradients, slopes[other], slopes[partner_of], strict=True):
                gradient[b] = of_total[b] * its
                gradient[b].addcmul_(of_total[partner_of], whose)
        return gradients[0], gradients[1], None, None


def _slopes(error: Tensor, cross: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """What a partner's EEᵀ and ETᵀ are multiplied by: SSᵀ, as symmetric matrices see it, and 2SEᵀ."""
    return teacher + 2 * cross + error, 2 * (cross.mT + error)


class _GramsOf(torch.autograd.Function):
    """Only the features are kept for the gradient; what comes of them is made anew.

    Matrices are (n, D), as features lie in memory where channels are last.
    """

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, care: Tensor | None, normalise: Normalise
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(student, teacher, care)
        ctx.normalise = normalise
        side = student.shape[1]
        found = tuple(torch.empty(len(student), side, side, device=student.device) for _ in range(3))
        for here, s, t, c in pieces(student, teacher, care):
            unit_t, unit_s = normalise(t, c).mT, normalise(s, c).mT
            error, unit_t = (unit_s - unit_t).to(s.dtype), unit_t.to(s.dtype)
            for whole, (a, b) in zip(found, ((error, error), (error, unit_t), (unit_t, unit_t)), strict=True):
                whole[here] = _matmul(a.mT, b)
        ctx.mark_non_differentiable(found[2])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_error: Tensor, of_cross: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        student, teacher, care = ctx.saved_tensors
        gradient = torch.empty_like(student)
        both, of_cross = (of_error + of_error.mT).to(student.dtype), of_cross.to(student.dtype)
        for here, s, t, c in pieces(student, teacher, care):
            with torch.enable_grad():
                own = s.detach().requires_grad_()
                unit = ctx.normalise(own, c)
            of_teacher = ctx.normalise(t, c)
            error = (unit.detach() - of_teacher).mT.to(s.dtype)
            of_unit = _matmul(error, both[here]).float()
            of_unit += _matmul(of_teacher.mT.to(s.dtype), of_cross[here].mT)
            (gradient[here],) = torch.autograd.grad(unit, own, of_unit.mT)
        return gradient, None, None, None
