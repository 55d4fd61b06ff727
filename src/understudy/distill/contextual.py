"""Contextual affinity: how alike each position is to all others, compared as a whole row.

A *reconstruction* of the affinity of contextual affinity distillation (arXiv:2307.03101), whose public
abstract gives no equation. With unit columns t_i (teacher) and g_i (student), the row of position i is
a_i = [x_j · t_i - mean over j], and the error compares the teacher's row with the student's. Rows are
centred because features behind a ReLU are alike everywhere, which would leave all rows the same.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from understudy.distill.care import batch_mean, centred, log_softmax
from understudy.distill.differences import normalised
from understudy.types import Pair

__all__ = ["AffinityAgainst", "RowMeasure", "contextual_distance", "contextual_distillation"]

AffinityAgainst = Literal["self", "teacher"]
RowMeasure = Literal["cosine", "kl"]

_SMALL = 1e-4  # length of a row below which it says nothing: the picture is constant


def contextual_distance(
    pair: Pair, against: AffinityAgainst = "self", measure: RowMeasure = "cosine"
) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W): 0 where the rows agree, at most 2 with ``cosine``.

    Args:
        pair: one level's features; cells that do not count have no row, which gives 0, and no column.
        against: the student's rows compare its positions with its own (``self``) or with the
            teacher's (``teacher``), which ties it to the teacher's channels.
        measure: one minus the ``cosine`` of the rows, or ``kl``, the divergence of their softmax,
            which holds (B, n, n) in memory.
    """
    b, _, h, w = pair.teacher.shape
    teacher, student = (normalised(f, "channel", pair.care) for f in pair[:2])
    seen_by_teacher = centred(teacher, pair.care)
    seen_by_student = centred(student if against == "self" else teacher, pair.care)
    if measure == "kl":
        rows = _divergence(teacher.mT @ seen_by_teacher, student.mT @ seen_by_student, pair.care)
    else:
        rows = _row_cosine(teacher, seen_by_teacher, student, seen_by_student)
    return rows.view(b, 1, h, w)


def contextual_distillation(
    pair: Pair, against: AffinityAgainst = "self", measure: RowMeasure = "cosine"
) -> Tensor:
    """(B, D, H, W) pair -> scalar: mean of :func:`contextual_distance`."""
    return batch_mean(contextual_distance(pair, against, measure), pair.care)


def _row_cosine(t: Tensor, x: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """Half the squared distance of unit rows of tᵀx and sᵀy: (B, n)."""
    fewer_positions = t.shape[2] <= t.shape[1]

    def product(a: Tensor, x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        """Row i of aᵀx times row i of bᵀy, through n x n or D x D, whichever is smaller."""
        return ((a.mT @ x) * (b.mT @ y)).sum(2) if fewer_positions else (a * ((x @ y.mT) @ b)).sum(1)

    tt, ss, ts = product(t, x, x, t), product(s, y, y, s), product(t, x, y, s)
    floor = _SMALL**2
    t_square, s_square = tt.clamp_min(floor), ss.clamp_min(floor)
    distance: Tensor = 0.5 * (tt / t_square + ss / s_square) - ts / (t_square * s_square).sqrt()
    return distance.clamp_min(0)


def _divergence(t_rows: Tensor, s_rows: Tensor, care: Tensor | None) -> Tensor:
    """KL(teacher || student) of the softmax of each row: two (B, n, n) -> (B, n)."""
    log_t, log_s = (log_softmax(rows, care) for rows in (t_rows, s_rows))
    return F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(2).clamp_min(0)
