"""Features of length one, and by how much the student's differ from the teacher's."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.care import counted, flat
from understudy.distill.pieces import pieces
from understudy.types import Pair

__all__ = ["AffinityNorm", "Differences", "differences", "normalised"]

AffinityNorm = Literal["channel", "tensor", "map"]

_OF_LENGTH_ONE: dict[AffinityNorm, tuple[int, ...]] = {"channel": (1,), "map": (2,), "tensor": (1, 2)}
_SHORTEST = 1e-6  # length below which a vector shrinks to zero: bounds the gradient there


def normalised(features: Tensor, norm: AffinityNorm, care: Tensor | None = None) -> Tensor:
    """(B, D, H, W) -> (B, D, n) float32 of unit length; zeros stay zeros.

    Args:
        features: of any precision.
        norm: what has length one: ``channel`` each position's vector over the channels (affinities
            are cosines), ``map`` each channel over the positions, ``tensor`` the whole picture.
        care: which cells count; the others become zeros and have no part in any length.
    """
    return _with_length(features, norm, care)[0]


class Differences(NamedTuple):
    """Of each picture, one position a row, as features lie in memory where channels are last.

    Attributes:
        error: (B, n, D), the student's features less the teacher's, both of length one.
        teacher: (B, n, D) of length one.
        cells: (B,), how many positions count; the rows of the others are zero.
    """

    error: Tensor
    teacher: Tensor
    cells: Tensor


def differences(pair: Pair, norm: AffinityNorm) -> Differences:
    """Pair -> what its affinities are made of, in the features' own precision; see :func:`normalised`.

    The gradient goes to the student's features alone. A difference in bfloat16 is off by its own rounding,
    not by that of the two that it lies between.
    """
    error, teacher = _Differences.apply(pair.student, pair.teacher.detach(), pair.care, norm)
    return Differences(error, teacher, counted(pair.care, pair.teacher))


class _Differences(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student: Tensor, teacher: Tensor, care: Tensor | None, norm: AffinityNorm
    ) -> tuple[Tensor, Tensor]:
        shape = (len(student), student[0, 0].numel(), student.shape[1])
        error, unit = student.new_empty(shape), student.new_empty(shape)
        lengths = []
        for here, s, t, c in pieces(student, teacher, care):
            unit_s, length = _with_length(s, norm, c)
            unit_t = normalised(t, norm, c)
            error[here], unit[here] = (unit_s - unit_t).mT, unit_t.mT
            lengths.append(length)
        ctx.save_for_backward(error, unit, torch.cat(lengths), care)
        ctx.norm, ctx.like = norm, torch.empty_like(student, device="meta")
        ctx.mark_non_differentiable(unit)
        return error, unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_error: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Of v / |v|, the part across v, shortened by |v|; of what was too short, all of it."""
        error, unit, lengths, care = ctx.saved_tensors
        gradient = torch.empty_like(ctx.like, device=error.device)
        dims = _OF_LENGTH_ONE[ctx.norm]
        for here, e, t, c in pieces(error, unit, care):
            g, u = of_error[here].float().mT, (e.float() + t).mT
            along = (u * g).sum(dims, keepdim=True) * (lengths[here] > _SHORTEST)
            g = (g - u.mul_(along)).div_(lengths[here])
            if c is not None:
                g = g.masked_fill(c.flatten(2) == 0, 0)
            gradient[here] = g.view_as(gradient[here])
        return gradient, None, None, None


def _with_length(features: Tensor, norm: AffinityNorm, care: Tensor | None) -> tuple[Tensor, Tensor]:
    values = flat(features, care)
    length = torch.linalg.vector_norm(values, dim=_OF_LENGTH_ONE[norm], keepdim=True).clamp_min(_SHORTEST)
    return values / length, length
