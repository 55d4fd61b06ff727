"""Affinity errors: how differently teacher and student see which places of a picture are alike.

The affinity of two pictures is the n x n matrix of similarities between their positions,
A = S^T S~ with normalised columns (S~ = S within one picture: "intra"; another picture's: "inter").
Eq. (5)-(6) and (12)-(13) of SNL, arXiv:2402.17091.

The squared forms never build that matrix when n > D, but Gram matrices of D x D; see
:mod:`understudy.distill.gram`. The absolute form is computed in row tiles and recomputed for the gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from understudy.distill.care import cell_mean, counted

__all__ = [
    "AffinityForm",
    "affinity_error",
    "affinity_rows",
    "has_matrix",
    "mean_error",
]

AffinityForm = Literal["rms", "abs", "squared"]

_TILE_ELEMENTS = 2**22  # rows of a tile: at most this many affinities a picture at once
_FLOOR = 1e-8  # of a mean square: bounds the gradient of its root where both agree


def affinity_rows(
    teacher: Tensor,
    student: Tensor,
    teacher_other: Tensor,
    student_other: Tensor,
    form: AffinityForm,
    care_other: Tensor | None = None,
) -> Tensor:
    """Four (B, D, n) -> (B, n): row i's error over all columns j.

    ``squared`` is the mean of (A_s - A_t)² over j, ``rms`` its root, ``abs`` the mean of
    |A_s - A_t|. Without the matrix, 4096 positions of 256 channels are within 2e-6 of the double-precision
    ``squared`` and within 1.5e-3 of its ``rms``, which is deliberately taken 1e-4 low, however alike teacher,
    student and positions are; an odd position's own row has an ``rms`` of 0.07 or more.

    Args:
        teacher: as :func:`understudy.distill.differences.normalised` gives it; zeros at cells that do not
            count, whose rows are then zero.
        student: likewise.
        teacher_other: of the partner; the teacher itself for a picture's own affinity.
        student_other: likewise.
        form: of the error.
        care_other: (B, 1, h, w), which of the partner's cells count and so are columns; all by default.
    """
    if form == "abs":
        return _absolute_rows(teacher, student, teacher_other, student_other, care_other)
    squared = _squared_rows(teacher, student, teacher_other, student_other, care_other)
    return squared if form == "squared" else _root(squared)


def affinity_error(
    teacher: Tensor,
    student: Tensor,
    teacher_other: Tensor,
    student_other: Tensor,
    form: AffinityForm,
    care: Tensor | None = None,
    care_other: Tensor | None = None,
) -> Tensor:
    """Four (B, D, n) -> scalar: mean over pictures of the whole matrix's error; 0 where equal.

    Eq. (5) with ``other`` the same picture and (6) with another one, as means over i and j (the
    printed sums are 10⁷ times the cosine term). ``rms`` is the root of the whole matrix's mean
    square, so it has the scale of ``abs`` at the cost of ``squared``. With ``care`` (B, 1, h, w) the
    matrix has rows of cells that count alone, and columns of those of the partner, ``care_other``.
    """
    rows = affinity_rows(
        teacher, student, teacher_other, student_other, "abs" if form == "abs" else "squared", care_other
    )
    return mean_error(cell_mean(rows, care), form)


def mean_error(each: Tensor, form: AffinityForm) -> Tensor:
    """(B,) mean of every picture's matrix, of its squares but in the absolute form -> scalar."""
    return (_root(each) if form == "rms" else each).mean()


def has_matrix(features: Tensor) -> bool:
    """Of (B, D, n) or (B, D, H, W): whether n x n is no larger than D x D, and so is what is computed."""
    return features[0, 0].numel() <= features.shape[1]


def _root(mean_square: Tensor) -> Tensor:
    """√(x + floor) - √floor, of a bounded slope at zero; as a quotient it is exactly zero there.

    A difference is not: processors round a root differently.
    """
    root_of_floor: float = _FLOOR**0.5
    return mean_square / ((mean_square + _FLOOR).sqrt() + root_of_floor)


def _squared_rows(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, care_other: Tensor | None) -> Tensor:
    if has_matrix(s2):
        return cell_mean((s.mT @ s2 - t.mT @ t2).square(), care_other)
    # With E = S - T: rows of EᵀS' + TᵀE', through the products of the partner; see gram.py.
    error, error_other = s - t, s2 - t2
    of_student, of_error = s2 @ s2.mT, s2 @ error_other.mT
    rows = (error * (of_student @ error + 2 * of_error @ t)).sum(1)
    rows = rows + (t * ((error_other @ error_other.mT) @ t)).sum(1)
    return rows.clamp_min(0) / counted(care_other, s2)[:, None]


def _absolute_rows(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, care_other: Tensor | None) -> Tensor:
    n = s.shape[2]
    tile = max(1, _TILE_ELEMENTS // s2.shape[2])
    recompute = n > tile and torch.is_grad_enabled() and s.requires_grad
    rows = []
    for at in range(0, n, tile):
        here = (t[:, :, at : at + tile], s[:, :, at : at + tile], t2, s2, care_other)
        rows.append(
            checkpoint(_absolute_tile, *here, use_reentrant=False, preserve_rng_state=False)
            if recompute
            else _absolute_tile(*here)
        )
    return torch.cat(rows, dim=1)


def _absolute_tile(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, care_other: Tensor | None) -> Tensor:
    return cell_mean((s.mT @ s2 - t.mT @ t2).abs(), care_other)
