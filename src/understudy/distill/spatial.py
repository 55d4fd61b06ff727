"""The spatial term: where in the picture each channel is strong. Eq. (3)-(4) of SNL, arXiv:2402.17091."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.care import NO_SHARE, cell_mean, centred, counted, flat
from understudy.distill.pieces import pieces, wants_gradient
from understudy.types import Pair

__all__ = ["SpatialReduction", "SpatialScale", "spatial_distillation"]

SpatialReduction = Literal["mean_d", "sum_d", "mean_all"]
SpatialScale = Literal["teacher", "none"]

_DEAD_CHANNEL = 1e-3  # of a picture's mean spread: a channel below it says nothing about position
_LEAST_LOGIT = -80.0  # its exponential is 0 beside that of 0; below, processors take up to 60 times as long


def spatial_distillation(
    pair: Pair,
    scale: SpatialScale = "teacher",
    temperature: float = 1.0,
    reduction: SpatialReduction = "mean_d",
) -> Tensor:
    """(B, D, H, W) pair -> scalar: KL(teacher || student) of each channel's softmax over positions.

    The paper's softmax takes features as they are, which works only where their spread happens to be near
    one: at six (the embedded teacher) it is nearly one-hot, at a tenth it is flat.

    Args:
        pair: one level's features; the gradient goes to the student's alone.
        scale: ``teacher`` divides both features by the teacher's spread over the positions of
            that channel and picture, so the term means the same for any teacher; ``none`` is the
            paper's letter.
        temperature: divides the logits further.
        reduction: over channels: mean (``mean_d``), sum as printed (``sum_d``); ``mean_all`` also
            divides by the number of positions. The batch is always averaged.
    """
    wanted = wants_gradient(pair)
    divergence: Tensor = _Divergence.apply(
        pair.student, pair.teacher.detach(), pair.care, scale, temperature, wanted
    )
    if reduction != "sum_d":
        divergence = divergence / pair.teacher.shape[1]
    if reduction == "mean_all":
        divergence = divergence / counted(pair.care, pair.teacher)
    return divergence.mean()


class _Divergence(torch.autograd.Function):
    """Two (B, D, H, W) -> (B,) sum over the channels; the gradient is a difference of softmaxes."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        care: Tensor | None,
        scale: SpatialScale,
        temperature: float,
        wanted: bool,
    ) -> Tensor:
        gradient = torch.empty_like(student) if wanted else None
        found = []
        for here, features_s, features_t, c in pieces(student, teacher, care):
            t, s = flat(features_t, c), flat(features_s, c)
            sharpness = _sharpness(t, c, scale, temperature)
            log_t, t, total_t = _shares(t, sharpness, c)
            log_s, s, total_s = _shares(s, sharpness, c)
            cross = (t * (log_t - log_s)).sum(2, keepdim=True) / total_t
            found.append((cross + total_s.log() - total_t.log()).clamp_min(0).sum((1, 2)))
            if gradient is not None:
                difference = s.mul_(sharpness / total_s).sub_(t.mul_(sharpness / total_t))
                gradient[here] = difference.view_as(features_s)
        ctx.save_for_backward(gradient)
        return torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_each: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * of_each.view(-1, 1, 1, 1)).to(gradient.dtype), None, None, None, None, None


def _shares(features: Tensor, sharpness: Tensor, care: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(B, D, n) -> logits of at most 0, their exponentials, and the sum of those: softmax is the quotient."""
    ignored = None if care is None else care.flatten(2) == 0
    if ignored is not None:
        features = features.masked_fill(ignored, NO_SHARE)
    logits = (features - features.amax(2, keepdim=True)).mul_(sharpness)
    shares = logits.clamp_min(_LEAST_LOGIT).exp_()
    if ignored is not None:
        shares.masked_fill_(ignored, 0)
    return logits, shares, shares.sum(2, keepdim=True).clamp_min(1)  # 1 is the share of the largest


def _sharpness(teacher: Tensor, care: Tensor | None, scale: SpatialScale, temperature: float) -> Tensor:
    """(B, D, n) -> (B, D, 1) or (1,): what features are multiplied by."""
    if scale == "none":
        return teacher.new_tensor([1 / temperature])
    spread = cell_mean(centred(teacher, care).square(), care).sqrt()  # a dead channel's is lifted to a floor
    spread = spread.clamp_min(_DEAD_CHANNEL * spread.mean(1, keepdim=True).clamp_min(1e-12))
    return 1 / (temperature * spread.unsqueeze(2))
