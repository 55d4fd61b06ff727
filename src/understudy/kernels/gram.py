"""Affinity terms, eq. (5)-(6) of SNL, through Gram matrices: no n x n affinity where D x D is smaller.

With unit columns T of the teacher, S of the student and their difference E = S - T, the affinities to a
partner (marked ') differ by SᵀS' - TᵀT' = EᵀS' + TᵀE'. The sum of the squares is ⟨EEᵀ, S'S'ᵀ⟩ + ⟨TTᵀ, E'E'ᵀ⟩
+ 2⟨ETᵀ, S'E'ᵀ⟩, and S is T + E. So three Gram matrices of each picture give its error to any partner. Each
summand is small where E is, so nothing cancels between a student and a teacher that agree, and products of
bfloat16, added up in float32, do no harm. Where a student's features are the teacher's rotated, E is large
although the affinities are equal: there the root of the error has a floor. With 128 channels it is about
1.5e-3 in float32 and 3e-3 in bfloat16. With few channels, or the same features at every position, it is up to
4e-3 and 0.08.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.acceleration import cached_per_batch
from understudy.distill.affinity import AffinityForm, mean_matrix_error
from understudy.distill.valid import (
    SHORTEST,
    UNIT_AXES,
    AffinityNorm,
    cell_mean,
    count_valid,
    flatten_valid,
    unit_vectors,
)
from understudy.kernels.chunks import image_chunks
from understudy.kernels.rows import absolute_rows, has_small_matrix
from understudy.types import Pair

__all__ = ["inter_affinity_distillation", "intra_affinity_distillation"]


def intra_affinity_distillation(
    pair: Pair, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar; see :func:`understudy.distill.affinity.intra_affinity_distillation`."""
    return inter_affinity_distillation(pair, 0, form, norm)


def inter_affinity_distillation(
    pair: Pair, shift: int, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar; see :func:`understudy.distill.affinity.inter_affinity_distillation`.

    Both terms of a loss share what a pair's features of length one and their products are.
    """
    if form == "abs":
        return mean_matrix_error(_absolute_error(pair, shift, norm), form)
    if has_small_matrix(pair.teacher):
        different = cached_per_batch(_differences, pair, norm)
        total: Tensor = _MatrixError.apply(different.error, different.teacher, shift)
        return mean_matrix_error(_mean_over_matrix(total, different.cells, shift), form)
    error, cross, teacher, cells = cached_per_batch(_grams, pair, norm)
    total = _SquaredError.apply(error, cross, teacher, shift)
    return mean_matrix_error(_mean_over_matrix(total, cells, shift), form)


class _Differences(NamedTuple):
    """One position a row, as features lie in memory where channels are last.

    Attributes:
        error: (B, n, D), the student's features minus the teacher's, both of length one.
        teacher: (B, n, D) of length one.
        cells: (B,), how many positions count; the rows of the others are zero.
    """

    error: Tensor
    teacher: Tensor
    cells: Tensor


class _Grams(NamedTuple):
    """(B, D, D) float32 products of each picture, EEᵀ, ETᵀ and TTᵀ, and (B,) how many columns count."""

    error: Tensor
    cross: Tensor
    teacher: Tensor
    cells: Tensor


def _differences(pair: Pair, norm: AffinityNorm) -> _Differences:
    """Differences in the features' own precision, with a gradient to the student's features alone.

    A difference in bfloat16 is off by its own rounding, not by that of the two features.
    """
    error, teacher = _UnitDifference.apply(pair.student, pair.teacher.detach(), pair.valid, norm)
    return _Differences(error, teacher, count_valid(pair.valid, pair.teacher))


def _grams(pair: Pair, norm: AffinityNorm) -> _Grams:
    different = _differences(pair, norm)
    error, cross, teacher = _Products.apply(different.error, different.teacher)
    return _Grams(error, cross, teacher, different.cells)


def _absolute_error(pair: Pair, shift: int, norm: AffinityNorm) -> Tensor:
    """(B,): mean of |A_s - A_t| over each picture's matrix."""
    teacher, student = cached_per_batch(_units, pair, norm)
    teacher_other, student_other = (f.roll(-shift, dims=0) for f in (teacher, student))
    valid_other = None if pair.valid is None else pair.valid.roll(-shift, dims=0)
    rows = absolute_rows(teacher, student, teacher_other, student_other, valid_other)
    return cell_mean(rows, pair.valid)


def _units(pair: Pair, norm: AffinityNorm) -> tuple[Tensor, Tensor]:
    return unit_vectors(pair.teacher, norm, pair.valid), unit_vectors(pair.student, norm, pair.valid)


def _mean_over_matrix(total: Tensor, cells: Tensor, shift: int) -> Tensor:
    return total.clamp_min(0) / (cells * cells.roll(-shift))


class _UnitDifference(torch.autograd.Function):
    """Student and teacher features -> E and T of :class:`_Differences`."""

    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, valid: Tensor | None, norm: AffinityNorm
    ) -> tuple[Tensor, Tensor]:
        shape = (len(student), student[0, 0].numel(), student.shape[1])
        error, unit = student.new_empty(shape), student.new_empty(shape)
        lengths = []
        for here, s, t, v in image_chunks(student, teacher, valid):
            values = flatten_valid(s, v)
            length = torch.linalg.vector_norm(values, dim=UNIT_AXES[norm], keepdim=True).clamp_min(SHORTEST)
            unit_t = unit_vectors(t, norm, v)
            error[here], unit[here] = (values / length - unit_t).mT, unit_t.mT
            lengths.append(length)
        ctx.save_for_backward(error, unit, torch.cat(lengths), valid)
        ctx.norm, ctx.like = norm, torch.empty_like(student, device="meta")
        ctx.mark_non_differentiable(unit)
        return error, unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_error: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of v / |v|: remove the part along v, divide by |v|. A too short vector keeps that part."""
        error, unit, lengths, valid = ctx.saved_tensors
        gradient = torch.empty_like(ctx.like, device=error.device)
        axes = UNIT_AXES[ctx.norm]
        for here, e, t, v in image_chunks(error, unit, valid):
            g, u = of_error[here].float().mT, (e.float() + t).mT
            along = (u * g).sum(axes, keepdim=True) * (lengths[here] > SHORTEST)
            g = (g - u.mul_(along)).div_(lengths[here])
            if v is not None:
                g = g.masked_fill(v.flatten(2) == 0, 0)
            gradient[here] = g.view_as(gradient[here])
        return gradient, None, None, None


class _Products(torch.autograd.Function):
    """(B, n, D) rows of E and T -> EEᵀ, ETᵀ and TTᵀ; one picture at a time is faster than a batch."""

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
            slope, cross = (of_error[b] + of_error[b].mT).to(error.dtype), of_cross[b].mT.to(error.dtype)
            torch.add(error[b] @ slope, teacher[b] @ cross, out=gradient[b])
        return gradient, None


class _SquaredError(torch.autograd.Function):
    """(B, D, D) products -> (B,) sums of squares over all positions i of a picture and j of its partner."""

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
    """(B, n, D) rows of E and T -> (B,) sums of the squares of the n x n matrix ES'ᵀ + TE'ᵀ."""

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
            its = slopes[b] @ student[other]
            torch.add(its, slopes[partner_of].mT @ student[partner_of], out=gradient[b])
        return gradient, None, None


def _partners(count: int, shift: int) -> list[tuple[int, int, int]]:
    """Each picture, its partner, and the one whose partner it is: it has a part in both sums."""
    return [(b, (b + shift) % count, (b - shift) % count) for b in range(count)]


def _slopes(error: Tensor, cross: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """What a partner's EEᵀ and ETᵀ are multiplied by: SSᵀ, as symmetric matrices see it, and 2SEᵀ."""
    return teacher + 2 * cross + error, 2 * (cross.mT + error)
