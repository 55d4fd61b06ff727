"""The spatial term, eq. (3)-(4) of SNL: one pass over each picture gives the value and its gradient.

The gradient by a channel's logits is the difference of two softmaxes, so nothing else has to be kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from understudy.distill.losses import (
    SpatialReduction,
    SpatialScale,
    position_sharpness,
    reduce_divergence,
)
from understudy.distill.valid import NO_SHARE, flatten_valid
from understudy.kernels.chunks import image_chunks, wants_gradient
from understudy.types import Pair

__all__ = ["spatial_distillation"]

_LEAST_LOGIT = -80.0  # its exponential is 0 beside that of 0; below, processors take up to 60 times as long


def spatial_distillation(
    pair: Pair,
    scale: SpatialScale = "teacher",
    temperature: float = 1.0,
    reduction: SpatialReduction = "mean_d",
) -> Tensor:
    """(B, D, H, W) pair -> scalar; see :func:`understudy.distill.losses.spatial_distillation`."""
    divergence: Tensor = _Divergence.apply(
        pair.student, pair.teacher.detach(), pair.valid, scale, temperature, wants_gradient(pair)
    )
    return reduce_divergence(divergence, pair, reduction)


class _Divergence(torch.autograd.Function):
    """Two (B, D, H, W) -> (B,) sum over the channels of KL(teacher || student)."""

    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        valid: Tensor | None,
        scale: SpatialScale,
        temperature: float,
        wanted: bool,
    ) -> Tensor:
        gradient = torch.empty_like(student) if wanted else None
        found = []
        for here, features_s, features_t, v in image_chunks(student, teacher, valid):
            t, s = flatten_valid(features_t, v), flatten_valid(features_s, v)
            sharpness = position_sharpness(t, v, scale, temperature)
            log_t, t, total_t = _shares(t, sharpness, v)
            log_s, s, total_s = _shares(s, sharpness, v)
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


def _shares(features: Tensor, sharpness: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(B, D, n) -> logits of at most 0, their exponentials, the sum of those. The softmax is the quotient."""
    ignored = None if valid is None else valid.flatten(2) == 0
    if ignored is not None:
        features = features.masked_fill(ignored, NO_SHARE)
    logits = (features - features.amax(2, keepdim=True)).mul_(sharpness)
    shares = logits.clamp_min(_LEAST_LOGIT).exp_()
    if ignored is not None:
        shares.masked_fill_(ignored, 0)
    return logits, shares, shares.sum(2, keepdim=True).clamp_min(1)  # 1 is the share of the largest
