"""Pairs -> scalar: the distillation losses, each 0 where teacher and student agree.

All work in float32. Batch and positions are averaged, so that the terms are of one magnitude
whatever the batch, the grid and the teacher (docs/decisions/0004). Cells of a pair that do not count are in
no mean, no softmax and no gradient (docs/decisions/0022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from understudy.distill.affinity import AffinityForm, AffinityNorm, affinity_error, normalised
from understudy.distill.care import batch_mean, cell_mean, centred, flat, log_softmax
from understudy.types import Pair

__all__ = [
    "CosineReading",
    "SpatialReduction",
    "SpatialScale",
    "Term",
    "affinity_distillation",
    "channel_distillation",
    "cosine_distance",
    "spatial_distillation",
]

CosineReading = Literal["local", "global"]
SpatialReduction = Literal["mean_d", "sum_d", "mean_all"]
SpatialScale = Literal["teacher", "none"]

_DEAD_CHANNEL = 1e-3  # of a level's mean spread: a channel below it says nothing about position


@dataclass(frozen=True)
class Term:
    """One summand of a training loss.

    Attributes:
        name: as it appears in the log.
        weight: its lambda.
        error: (pair of one level, partner shift) -> scalar of the cells that count; summed over the levels.
        needs_partner: compares different pictures, so a batch of one has nothing to give.
        levels: which of the student's pairs it looks at; all by default.
    """

    name: str
    weight: float
    error: Callable[[Pair, int], Tensor]
    needs_partner: bool = False
    levels: slice = field(default_factory=lambda: slice(None))


def cosine_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): 0 where both agree, at most 2. Eq. (1) of SNL.

    One minus the cosine, as half the squared distance of the unit vectors: exactly zero where both are
    equal, also where both are zero, and twice this is STPM's distance. Zero at cells that do not count.
    """
    b, _, h, w = pair.teacher.shape
    teacher, student = (normalised(f, "channel", pair.care) for f in pair[:2])
    return 0.5 * (teacher - student).square().sum(1).view(b, 1, h, w)


def channel_distillation(pair: Pair, reading: CosineReading = "local") -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]. Eq. (1)-(2) of SNL, arXiv:2402.17091.

    Args:
        pair: one level's features.
        reading: ``local`` compares position by position and averages, as both papers print it;
            ``global`` compares each picture's whole tensor as one vector, as RD's release does.
    """
    if reading == "local":
        return batch_mean(cosine_distance(pair), pair.care)
    teacher, student = (normalised(f, "tensor", pair.care) for f in pair[:2])
    return 0.5 * (teacher - student).square().sum((1, 2)).mean()


def spatial_distillation(
    pair: Pair,
    scale: SpatialScale = "teacher",
    temperature: float = 1.0,
    reduction: SpatialReduction = "mean_d",
) -> Tensor:
    """(B, D, H, W) pair -> scalar: KL(teacher || student) of each channel's softmax over positions.

    Eq. (3)-(4) of SNL, arXiv:2402.17091. The paper's softmax takes features as they are, which
    works only where their spread happens to be near one: at six (the embedded teacher) it is
    nearly one-hot, at a tenth it is flat.

    Args:
        pair: one level's features.
        scale: ``teacher`` divides both features by the teacher's spread over the positions of
            that channel and picture, so the term means the same for any teacher; ``none`` is the
            paper's letter.
        temperature: divides the logits further.
        reduction: over channels: mean (``mean_d``), sum as printed (``sum_d``); ``mean_all`` also
            divides by the number of positions. The batch is always averaged.
    """
    teacher, student = (flat(f, pair.care) for f in pair[:2])
    if scale == "teacher":
        spread = _spread(teacher, pair.care)
        spread = spread.clamp_min(_DEAD_CHANNEL * spread.mean().clamp_min(1e-12))
        teacher, student = teacher / spread, student / spread
    log_t, log_s = (log_softmax(f / temperature, pair.care) for f in (teacher, student))
    each = F.kl_div(log_s, log_t, reduction="none", log_target=True)  # (B, D, n)
    if reduction == "mean_all":
        return batch_mean(each, pair.care)
    per_channel = each.sum(2)
    return per_channel.mean() if reduction == "mean_d" else per_channel.sum(1).mean()


def _spread(teacher: Tensor, care: Tensor | None) -> Tensor:
    """(B, D, n) -> (B, D, 1): standard deviation over the positions that count."""
    if care is None:
        return teacher.std(2, keepdim=True, correction=0)
    return cell_mean(centred(teacher, care).square(), care).sqrt().unsqueeze(2)


def affinity_distillation(
    pair: Pair, shift: int, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: error of the affinity between each picture and its partner.

    Args:
        pair: one level's features.
        shift: picture b's partner is picture (b + shift) mod B, for teacher and student alike:
            0 is a picture with itself (intra, eq. (5)), anything else inter, eq. (6).
        form: see :func:`understudy.distill.affinity.affinity_rows`.
        norm: see :func:`understudy.distill.affinity.normalised`.
    """
    care = pair.care
    teacher, student = (normalised(f, norm, care) for f in pair[:2])
    if shift == 0:
        return affinity_error(teacher, student, teacher, student, form, care, care)
    teacher_other, student_other = (f.roll(-shift, dims=0) for f in (teacher, student))
    care_other = None if care is None else care.roll(-shift, dims=0)
    return affinity_error(teacher, student, teacher_other, student_other, form, care, care_other)
