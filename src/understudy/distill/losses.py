"""Pairs -> scalar: the distillation losses, each 0 where teacher and student agree.

All equations are those of SNL, arXiv:2402.17091. Batch and positions are averaged, so that the terms are of
one magnitude whatever the batch, the grid and the teacher (docs/decisions/0004). All of them work in float32.
Cells that do not count are in no mean, no softmax and no gradient (docs/decisions/0022).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from understudy.distill.acceleration import accelerable
from understudy.distill.valid import (
    batch_mean,
    cell_mean,
    centre,
    count_valid,
    flatten_valid,
    log_softmax,
    unit_vectors,
)
from understudy.types import Pair

__all__ = [
    "CosineLoss",
    "CosineReading",
    "SpatialReduction",
    "SpatialScale",
    "Term",
    "channel_distillation",
    "cosine_distance",
    "cosine_loss",
    "easing_cosine_distance",
    "easy_share",
    "global_cosine_distance",
    "hard_cosine_distance",
    "picture_cosine_distance",
    "position_sharpness",
    "position_softmax",
    "reduce_divergence",
    "spatial_distillation",
    "squared_error",
]

CosineReading = Literal["local", "global", "hard"]
CosineLoss = Literal["local", "global", "hard", "easy"]
SpatialReduction = Literal["mean_d", "sum_d", "mean_all"]
SpatialScale = Literal["teacher", "none"]

_HARD = 0.1  # share of a batch's cells
_EASY = 0.1  # weight of easy cells, which keeps them from drifting off
_DEAD_CHANNEL = 1e-3  # of a picture's mean spread: a channel below it says nothing about position


@dataclass(frozen=True)
class Term:
    """One summand of a training loss, such as those of eq. (7).

    Attributes:
        name: as it appears in ``training.jsonl``, which has the value times the weight of that step.
        weight: its lambda, at least 0.
        error: (pair of one level, partner shift, share of the training that is over) -> scalar over the valid
            cells; summed over the levels.
        needs_partner: compares different pictures, so a batch of one has nothing to give.
        levels: which of the student's pairs it looks at; all by default.
        anneals: its weight falls linearly to zero over the training.
    """

    name: str
    weight: float
    error: Callable[[Pair, int, float], Tensor]
    needs_partner: bool = False
    levels: slice = field(default_factory=lambda: slice(None))
    anneals: bool = False

    def __post_init__(self) -> None:
        """Let an error that takes a pair and a shift alone, as older methods have, ignore the rest."""
        if len(inspect.signature(self.error).parameters) == 2:
            older: Callable[[Pair, int], Tensor] = self.error  # type: ignore[assignment]
            object.__setattr__(self, "error", lambda pair, shift, done: older(pair, shift))

    def weight_after(self, done: float) -> float:
        """Its weight once a share ``done`` in [0, 1] of the training is over."""
        return self.weight * (1 - done) if self.anneals else self.weight


def cosine_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): 0 where both agree, at most 2. Eq. (1).

    One minus the cosine, as half the squared distance of the unit vectors: exactly zero where both are equal,
    also where both are zero. Twice this is STPM's distance. Zero at cells that do not count.
    """
    b, _, h, w = pair.teacher.shape
    teacher, student = (unit_vectors(f, "channel", pair.valid) for f in pair[:2])
    return 0.5 * (teacher - student).square().sum(1).view(b, 1, h, w)


@accelerable
def channel_distillation(pair: Pair, reading: CosineReading = "local") -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: mean of the cosine distance. Eq. (2).

    Args:
        pair: one level's features.
        reading: ``local`` compares position by position, as the paper prints it; ``global`` compares each
            picture's whole tensor as one vector, as RD's release does; ``hard`` is local and gives the tenth
            of the batch's cells that differs most ten times the weight of the others (docs/decisions/0035).
    """
    if reading == "hard":
        return hard_cosine_distance(pair)
    if reading == "global":
        return global_cosine_distance(pair)
    return batch_mean(cosine_distance(pair), pair.valid)


def global_cosine_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: mean of :func:`picture_cosine_distance`. RD's release."""
    return picture_cosine_distance(pair).mean()


def picture_cosine_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> (B,) in [0, 2]: one minus the cosine, with a picture's features as one vector."""
    teacher, student = (unit_vectors(f, "tensor", pair.valid) for f in pair[:2])
    return 0.5 * (teacher - student).square().sum((1, 2))


def squared_error(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar: mean of the squared differences. UniAD, arXiv:2206.03687."""
    teacher, student = (flatten_valid(f, pair.valid) for f in pair[:2])
    return batch_mean((teacher - student).square(), pair.valid)


def hard_cosine_distance(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: weighted mean; 0 where no cell of the batch counts."""
    distance = cosine_distance(pair)
    if pair.valid is not None:
        distance = distance[pair.valid > 0]
    each = distance.detach().flatten()
    if not each.numel():
        return distance.sum()
    easy = int((1 - _HARD) * each.numel())
    weight = torch.where(distance.detach() < each.sort().values[easy], _EASY, 1.0)
    return (weight * distance).sum() / weight.sum()


def easing_cosine_distance(pair: Pair, share: float) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: :func:`global_cosine_distance`; easy cells teach less.

    The student's gradient is a tenth of itself at the cells that differ least. Dinomaly, arXiv:2405.14325.

    Args:
        pair: one level's features.
        share: share of the batch's cells with a tenth of the gradient, in [0, 1).
    """
    each = cosine_distance(pair).detach()
    counted = each.flatten() if pair.valid is None else each[pair.valid > 0]
    if not counted.numel():
        return global_cosine_distance(pair)
    hard = max(1, int(counted.numel() * (1 - share)))
    easy = each < counted.kthvalue(counted.numel() - hard + 1).values
    fixed = pair.student.detach()
    student = fixed + torch.where(easy, _EASY, 1.0) * (pair.student - fixed)  # the same numbers
    return global_cosine_distance(pair._replace(student=student))


def easy_share(done: float, most: float = 0.9, until: float = 0.3) -> float:
    """Share of the cells that are easy once a share ``done`` of the training is over.

    It rises linearly from 0 to ``most`` over the share ``until`` of the training.
    """
    return most * min(1.0, done / until)


def cosine_loss(pair: Pair, reading: CosineLoss, done: float) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: the channel term once a share ``done`` of the training is over.

    Args:
        pair: one level's features.
        reading: as for :func:`channel_distillation`, or ``easy``: :func:`easing_cosine_distance` with a share
            that rises to 0.9 over the first three tenths of the training, as in the tuned ``dinomaly``.
        done: share of the training that is over, in [0, 1].
    """
    if reading == "easy":
        return easing_cosine_distance(pair, easy_share(done))
    return channel_distillation(pair, reading)


def position_softmax(features: Tensor, sharpness: Tensor, valid: Tensor | None = None) -> Tensor:
    """(B, D, n) -> (B, D, n): log of each channel's softmax over the positions. Eq. (3)."""
    return log_softmax(features * sharpness, valid)


@accelerable
def spatial_distillation(
    pair: Pair,
    scale: SpatialScale = "teacher",
    temperature: float = 1.0,
    reduction: SpatialReduction = "mean_d",
) -> Tensor:
    """(B, D, H, W) pair -> scalar: KL(teacher || student) of where each channel is strong. Eq. (4).

    The paper's softmax takes features as they are. That works only where their spread happens to be near one:
    at six (the embedded teacher) the softmax is nearly one-hot, at a tenth it is flat.

    Args:
        pair: one level's features; the gradient goes to the student's alone.
        scale: ``teacher`` divides both features by the teacher's spread over the positions of that channel
            and picture, so the term means the same for any teacher; ``none`` is the paper's letter.
        temperature: divides the logits further.
        reduction: over channels: mean (``mean_d``) or sum as printed (``sum_d``); ``mean_all`` also divides
            by the number of positions. The batch is always averaged.
    """
    teacher, student = (flatten_valid(f, pair.valid) for f in (pair.teacher.detach(), pair.student))
    sharpness = position_sharpness(teacher, pair.valid, scale, temperature)
    log_t, log_s = (position_softmax(f, sharpness, pair.valid) for f in (teacher, student))
    divergence = (log_t.exp() * (log_t - log_s)).sum(2).clamp_min(0).sum(1)  # (B,)
    return reduce_divergence(divergence, pair, reduction)


def reduce_divergence(divergence: Tensor, pair: Pair, reduction: SpatialReduction) -> Tensor:
    """(B,) sums over the channels -> scalar; see :func:`spatial_distillation`."""
    if reduction != "sum_d":
        divergence = divergence / pair.teacher.shape[1]
    if reduction == "mean_all":
        divergence = divergence / count_valid(pair.valid, pair.teacher)
    return divergence.mean()


def position_sharpness(
    teacher: Tensor, valid: Tensor | None, scale: SpatialScale, temperature: float
) -> Tensor:
    """(B, D, n) -> (B, D, 1) or (1,): what features are multiplied by before the softmax."""
    if scale == "none":
        return teacher.new_tensor([1 / temperature])
    spread = cell_mean(centre(teacher, valid).square(), valid).sqrt()
    floor = _DEAD_CHANNEL * spread.mean(1, keepdim=True).clamp_min(1e-12)
    return 1 / (temperature * spread.clamp_min(floor).unsqueeze(2))
