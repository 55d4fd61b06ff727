"""Affinity errors: how differently teacher and student see which places of a picture are alike.

The affinity of two pictures is the n x n matrix of similarities between their positions, A(i, j) = f_i · f~_j
with features of length one. Within one picture (f~ = f) it is called *intra*, with another picture *inter*.
Equations (5), (6), (12) and (13) are those of SNL, arXiv:2402.17091. These are the plain forms, which hold
the whole matrix; :mod:`understudy.kernels.gram` has forms that need far less memory.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.acceleration import accelerable
from understudy.distill.valid import (
    AffinityNorm,
    batch_mean,
    cell_mean,
    centre,
    log_softmax,
    unit_vectors,
)
from understudy.types import Pair

__all__ = [
    "AffinityAgainst",
    "AffinityForm",
    "RowMeasure",
    "affinity",
    "affinity_map",
    "contextual_distance",
    "contextual_distillation",
    "inter_affinity_distillation",
    "intra_affinity_distillation",
    "mean_matrix_error",
    "root",
    "row_divergence",
]

AffinityForm = Literal["rms", "abs", "squared"]
AffinityAgainst = Literal["self", "teacher"]
RowMeasure = Literal["cosine", "kl"]

_FLOOR = 1e-8  # of a mean square: bounds the gradient of its root where both agree
_SHORT_ROW = 1e-4  # length of a row below which it says nothing: the picture is constant


def affinity(features: Tensor, other: Tensor) -> Tensor:
    """Two (B, D, n) of unit vectors -> (B, n, n): how alike each position is to each of the other picture."""
    return features.mT @ other


@accelerable
def intra_affinity_distillation(
    pair: Pair, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: error of the affinities within each picture. Eq. (5).

    Args:
        pair: one level's features.
        form: of a picture's error: ``abs`` is the mean of |A_s - A_t| over all i and j (the printed sum is
            10⁷ times the cosine term), ``squared`` the mean of its square, ``rms`` the root of that, which
            has the scale of ``abs`` at the cost of ``squared``.
        norm: see :func:`understudy.distill.valid.unit_vectors`.
    """
    return inter_affinity_distillation(pair, 0, form, norm)


@accelerable
def inter_affinity_distillation(
    pair: Pair, shift: int, form: AffinityForm = "rms", norm: AffinityNorm = "channel"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: error of the affinities between each picture and its partner. Eq. (6).

    Args:
        pair: one level's features.
        shift: picture b's partner is picture (b + shift) mod B, for teacher and student alike.
        form: see :func:`intra_affinity_distillation`.
        norm: see :func:`understudy.distill.valid.unit_vectors`.
    """
    teacher, student = (unit_vectors(f, norm, pair.valid) for f in pair[:2])
    teacher_other, student_other = (f.roll(-shift, dims=0) for f in (teacher, student))
    valid_other = None if pair.valid is None else pair.valid.roll(-shift, dims=0)
    error = affinity(student, student_other) - affinity(teacher, teacher_other)  # (B, n, n)
    each = error.abs() if form == "abs" else error.square()
    rows = cell_mean(each, valid_other)  # (B, n)
    return mean_matrix_error(cell_mean(rows, pair.valid), form)


def mean_matrix_error(each: Tensor, form: AffinityForm) -> Tensor:
    """(B,) mean over each picture's matrix, of squares unless ``form`` is ``abs`` -> scalar."""
    return (root(each) if form == "rms" else each).mean()


@accelerable
def affinity_map(pair: Pair, form: AffinityForm = "rms", norm: AffinityNorm = "channel") -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): each position's affinity error, at least 0. Eq. (12)-(13)."""
    b, _, h, w = pair.teacher.shape
    teacher, student = (unit_vectors(f, norm, pair.valid) for f in pair[:2])
    error = affinity(student, student) - affinity(teacher, teacher)  # eq. (12): (B, n, n)
    rows = cell_mean(error.abs() if form == "abs" else error.square(), pair.valid)  # eq. (13): (B, n)
    return (root(rows) if form == "rms" else rows).view(b, 1, h, w)


def root(mean_square: Tensor) -> Tensor:
    """√(x + floor) - √floor: of a bounded slope at zero. The quotient is exactly zero there.

    A difference is not: processors round a root differently.
    """
    root_of_floor: float = _FLOOR**0.5
    return mean_square / ((mean_square + _FLOOR).sqrt() + root_of_floor)


@accelerable
def contextual_distance(
    pair: Pair, against: AffinityAgainst = "self", measure: RowMeasure = "cosine"
) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): 0 where the rows agree, at most 2 with ``cosine``.

    A *reconstruction* of the affinity of contextual affinity distillation (arXiv:2307.03101), whose public
    abstract gives no equation. The row of a position holds its affinities to all positions, minus their mean.
    Rows are centred because features behind a ReLU are alike everywhere, which would leave all rows the same.

    Args:
        pair: one level's features; cells that do not count have no row, which gives 0, and no column.
        against: the student's rows compare its positions with its own (``self``) or with the teacher's
            (``teacher``), which ties it to the teacher's channels.
        measure: one minus the ``cosine`` of the rows, or ``kl``, the divergence of their softmax.
    """
    b, _, h, w = pair.teacher.shape
    teacher, student = (unit_vectors(f, "channel", pair.valid) for f in pair[:2])
    t_rows = affinity(teacher, centre(teacher, pair.valid))  # (B, n, n)
    s_rows = affinity(student, centre(student if against == "self" else teacher, pair.valid))
    if measure == "kl":
        return row_divergence(t_rows, s_rows, pair.valid).view(b, 1, h, w)
    t_unit, s_unit = _unit_rows(t_rows), _unit_rows(s_rows)
    return 0.5 * (t_unit - s_unit).square().sum(2).view(b, 1, h, w)


def _unit_rows(rows: Tensor) -> Tensor:
    """(B, n, n) -> (B, n, n): rows of length one; shorter ones than the shortest stay short."""
    length = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    unit: Tensor = rows / length.clamp_min(_SHORT_ROW)
    return unit


def row_divergence(t_rows: Tensor, s_rows: Tensor, valid: Tensor | None) -> Tensor:
    """Two (B, n, n) -> (B, n): KL(teacher || student) of the softmax of each row."""
    log_t, log_s = (log_softmax(rows, valid) for rows in (t_rows, s_rows))
    return F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(2).clamp_min(0)


def contextual_distillation(
    pair: Pair, against: AffinityAgainst = "self", measure: RowMeasure = "cosine"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: mean of :func:`contextual_distance`."""
    return batch_mean(contextual_distance(pair, against, measure), pair.valid)
