"""Squared affinity errors of whole pictures, without any n x n affinity where D x D is less.

With unit columns T of the teacher, S of the student and their difference E = S - T, the affinities to a
partner (marked ') differ by SᵀS' - TᵀT' = EᵀS' + TᵀE'. Its squares add up to
⟨EEᵀ, S'S'ᵀ⟩ + ⟨TTᵀ, E'E'ᵀ⟩ + 2⟨ETᵀ, S'E'ᵀ⟩, and S is T + E: three Gram matrices a picture give its error
to any partner. Each summand is small where E is, so nothing cancels between a student and a teacher that
agree, and matrices of bfloat16, added up in float32 and rounded, do no harm. Of a student whose features are
another's rotated, E is large and the affinities are equal all the same: there the root of the error has a
floor of 1.5e-3 in float32 and 3e-3 in bfloat16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.differences import Differences

__all__ = ["Grams", "grams", "matrix_error"]


class Grams(NamedTuple):
    """Products of each picture's columns, (B, D, D) float32 each, rounded to the features' precision.

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
        return _mean(total, self.cells, shift)


def grams(of: Differences) -> Grams:
    """The products of what (B, n, D) hold in rows."""
    error, cross, teacher = _Grams.apply(of.error, of.teacher)
    return Grams(error, cross, teacher, of.cells)


def matrix_error(of: Differences, shift: int) -> Tensor:
    """(B,): as :meth:`Grams.squared_error`, through the n x n matrix of a picture and its partner."""
    total: Tensor = _MatrixError.apply(of.error, of.teacher, shift)
    return _mean(total, of.cells, shift)


def _mean(total: Tensor, cells: Tensor, shift: int) -> Tensor:
    return total.clamp_min(0) / (cells * cells.roll(-shift))


class _Grams(torch.autograd.Function):
    """One picture's matrices at a time, which processors multiply faster than a batch of them."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, teacher: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(error, teacher)
        count, _, side = error.shape
        found = tuple(torch.empty(count, side, side, device=error.device) for _ in range(3))
        for b in range(count):
            e, t = error[b], teacher[b]
            for product, (x, y) in zip(found, ((e, e), (e, t), (t, t)), strict=True):
                product[b] = x.mT @ y
        ctx.mark_non_differentiable(found[2])
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_error: Tensor, of_cross: Tensor, _: Tensor) -> tuple[Tensor, None]:
        error, teacher = ctx.saved_tensors
        gradient = torch.empty_like(error)
        for b in range(len(error)):
            own, cross = (of_error[b] + of_error[b].mT).to(error.dtype), of_cross[b].mT.to(error.dtype)
            torch.add(error[b] @ own, teacher[b] @ cross, out=gradient[b])
        return gradient, None


class _SquaredError(torch.autograd.Function):
    """(B, D, D) products -> (B,) sums of squares: a picture and its partner at a time, as caches like it."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, cross: Tensor, teacher: Tensor, shift: int) -> Tensor:
        ctx.save_for_backward(error, cross, teacher)
        ctx.shift = shift
        total = error.new_empty(len(error))
        for b, other, _ in _partners(len(error), shift):
            of_error, of_cross = _slopes(error[other], cross[other], teacher[other])
            parts = ((error[b], of_error), (cross[b], of_cross), (teacher[b], error[other]))
            total[b] = torch.stack([torch.dot(x.flatten(), y.flatten()) for x, y in parts]).sum()
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor | None, ...]:
        slopes = [_slopes(*products) for products in zip(*ctx.saved_tensors, strict=True)]
        gradients = [torch.empty_like(products) for products in ctx.saved_tensors[:2]]
        for b, other, partner_of in _partners(len(of_total), ctx.shift):
            for gradient, its, whose in zip(gradients, slopes[other], slopes[partner_of], strict=True):
                torch.mul(its, of_total[b], out=gradient[b])
                gradient[b].addcmul_(of_total[partner_of], whose)
        return gradients[0], gradients[1], None, None


class _MatrixError(torch.autograd.Function):
    """(B, n, D) rows of E and T -> (B,) sums of the squares of ES'ᵀ + TE'ᵀ."""

    @staticmethod
    def forward(ctx: Any, error: Tensor, teacher: Tensor, shift: int) -> Tensor:
        student = teacher + error
        matrices = [
            (error[b] @ student[other].mT).float() + teacher[b] @ error[other].mT
            for b, other, _ in _partners(len(error), shift)
        ]
        ctx.save_for_backward(student, torch.stack(matrices))
        ctx.shift = shift
        return torch.stack([m.square().sum() for m in matrices])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> tuple[Tensor, None, None]:
        student, matrices = ctx.saved_tensors
        slopes = (2 * of_total[:, None, None] * matrices).to(student.dtype)
        gradient = torch.empty_like(student)
        for b, other, partner_of in _partners(len(student), ctx.shift):
            own = slopes[b] @ student[other]
            torch.add(own, slopes[partner_of].mT @ student[partner_of], out=gradient[b])
        return gradient, None, None


def _partners(count: int, shift: int) -> list[tuple[int, int, int]]:
    """Each picture, its partner, and the one whose partner it is: it has a part in both sums."""
    return [(b, (b + shift) % count, (b - shift) % count) for b in range(count)]


def _slopes(error: Tensor, cross: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """What a partner's EEᵀ and ETᵀ are multiplied by: SSᵀ, as symmetric matrices see it, and 2SEᵀ."""
    return teacher + 2 * cross + error, 2 * (cross.mT + error)
