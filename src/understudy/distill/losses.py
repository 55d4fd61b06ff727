"""Pairs -> scalar: the distillation losses, each 0 where teacher and student agree.

All work in float32, but for the products of :mod:`understudy.distill.gram`. Batch and positions are averaged,
so that the terms are of one magnitude whatever the batch, the grid and the teacher (docs/decisions/0004).
Cells of a pair that do not count are in no mean, no softmax and no gradient (docs/decisions/0022).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from understudy.distill.affinity import (
    AffinityForm,
    affinity_error,
    has_matrix,
    mean_error,
)
from understudy.distill.care import batch_mean
from understudy.distill.differences import AffinityNorm, differences, normalised
from understudy.distill.gram import Grams, grams, matrix_error
from understudy.distill.pieces import batch_mean_of
from understudy.distill.sharing import once
from understudy.types import Pair

__all__ = [
    "CosineReading",
    "Term",
    "affinity_distillation",
    "channel_distillation",
    "cosine_distance",
]

CosineReading = Literal["local", "global", "hard"]

_HARD = 0.1  # share of a batch's cells
_EASY = 0.1  # weight of the others, beside 1 of those, which keeps them from drifting off


@dataclass(frozen=True)
class Term:
    """One summand of a training loss.

    Attributes:
        name: as it appears in the log.
        weight: its lambda.
        error: (pair of one level, partner shift) -> scalar of the cells that count; summed over the levels.
        needs_partner: compares different pictures, so a batch of one has nothing to give.
        levels: which of the student's pairs it looks at; all by default.
        falls: its weight falls linearly to nothing over the training.
    """

    name: str
    weight: float
    error: Callable[[Pair, int], Tensor]
    needs_partner: bool = False
    levels: slice = field(default_factory=lambda: slice(None))
    falls: bool = False

    def weight_after(self, done: float) -> float:
        """Its weight when that share of the training is done, in 0..1."""
        return self.weight * (1 - done) if self.falls else self.weight


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
            ``global`` compares each picture's whole tensor as one vector, as RD's release does;
            ``hard`` is local, and of the batch's cells the tenth that differs most weighs ten times
            as much as the others (docs/decisions/0035); 0 where no cell of the batch counts.
    """
    if reading == "hard":
        return _hard_cosine(pair)
    return batch_mean_of(_local_cosine if reading == "local" else _global_cosine, pair)


def _local_cosine(pair: Pair) -> Tensor:
    return batch_mean(cosine_distance(pair), pair.care)


def _hard_cosine(pair: Pair) -> Tensor:
    distance = cosine_distance(pair)
    if pair.care is not None:
        distance = distance[pair.care > 0]
    found = distance.detach().flatten()
    if not found.numel():
        return distance.sum()
    easy = int((1 - _HARD) * found.numel())
    weight = torch.where(distance.detach() < found.sort().values[easy], _EASY, 1.0)
    return (weight * distance).sum() / weight.sum()


def _global_cosine(pair: Pair) -> Tensor:
    teacher, student = (normalised(f, "tensor", pair.care) for f in pair[:2])
    return 0.5 * (teacher - student).square().sum((1, 2)).mean()


def affinity_distillation(
    pair: Pair, shift: int, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: error of the affinity between each picture and its partner.

    Args:
        pair: one level's features.
        shift: picture b's partner is picture (b + shift) mod B, for teacher and student alike:
            0 is a picture with itself (intra, eq. (5)), anything else inter, eq. (6).
        form: see :func:`understudy.distill.affinity.affinity_rows`.
        norm: see :func:`understudy.distill.differences.normalised`.
    """
    if form == "abs":
        teacher, student = once(_units, pair, norm)
        teacher_other, student_other, care_other = teacher, student, pair.care
        if shift:
            teacher_other, student_other = (f.roll(-shift, dims=0) for f in (teacher, student))
            care_other = None if care_other is None else care_other.roll(-shift, dims=0)
        return affinity_error(teacher, student, teacher_other, student_other, form, pair.care, care_other)
    if has_matrix(pair.teacher):
        return mean_error(matrix_error(once(differences, pair, norm), shift), form)
    return mean_error(once(_grams, pair, norm).squared_error(shift), form)


def _units(pair: Pair, norm: AffinityNorm) -> tuple[Tensor, Tensor]:
    return normalised(pair.teacher, norm, pair.care), normalised(pair.student, norm, pair.care)


def _grams(pair: Pair, norm: AffinityNorm) -> Grams:
    return grams(differences(pair, norm))
