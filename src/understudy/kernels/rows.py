"""Maps of affinity errors, row by row, without the n x n matrix of a picture where D x D is smaller.

Without the matrix, 4096 positions of 256 channels are within 2e-6 of the double-precision ``squared`` form
and within 1.5e-3 of its ``rms``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from understudy.distill.affinity import (
    AffinityAgainst,
    AffinityForm,
    RowMeasure,
    affinity,
    root,
    row_divergence,
)
from understudy.distill.valid import AffinityNorm, cell_mean, centre, count_valid, unit_vectors
from understudy.types import Pair

__all__ = ["absolute_rows", "affinity_map", "contextual_distance", "has_small_matrix", "squared_rows"]

_TILE_ELEMENTS = 2**22  # affinities of a tile of rows, for each picture
_SHORT_ROW_SQUARE = 1e-8  # see understudy.distill.affinity


def affinity_map(pair: Pair, form: AffinityForm = "rms", norm: AffinityNorm = "channel") -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W); see :func:`understudy.distill.affinity.affinity_map`."""
    b, _, h, w = pair.teacher.shape
    teacher, student = (unit_vectors(f, norm, pair.valid) for f in pair[:2])
    rows_of = absolute_rows if form == "abs" else squared_rows
    rows = rows_of(teacher, student, teacher, student, pair.valid)
    return (root(rows) if form == "rms" else rows).view(b, 1, h, w)


def contextual_distance(
    pair: Pair, against: AffinityAgainst = "self", measure: RowMeasure = "cosine"
) -> Tensor:
    """(B, D, H, W) pair -> (B, 1, H, W); see :func:`understudy.distill.affinity.contextual_distance`.

    ``kl`` still holds (B, n, n).
    """
    b, _, h, w = pair.teacher.shape
    teacher, student = (unit_vectors(f, "channel", pair.valid) for f in pair[:2])
    t_centred = centre(teacher, pair.valid)
    s_centred = centre(student if against == "self" else teacher, pair.valid)
    if measure == "kl":
        rows = row_divergence(affinity(teacher, t_centred), affinity(student, s_centred), pair.valid)
    else:
        rows = _row_cosine(teacher, t_centred, student, s_centred)
    return rows.view(b, 1, h, w)


def has_small_matrix(features: Tensor) -> bool:
    """(B, D, n) or (B, D, H, W) -> whether n x n is no larger than D x D, and so is what is computed."""
    return features[0, 0].numel() <= features.shape[1]


def squared_rows(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, valid_other: Tensor | None) -> Tensor:
    """Four (B, D, n) unit vectors -> (B, n): mean of (A_s - A_t)² over the partner's positions.

    With E = S - T the error is EᵀS' + TᵀE', whose rows' squares need only D x D products of the partner.
    """
    if has_small_matrix(s2):
        return cell_mean((affinity(s, s2) - affinity(t, t2)).square(), valid_other)
    error, error_other = s - t, s2 - t2
    of_student, of_error = s2 @ s2.mT, s2 @ error_other.mT
    rows = (error * (of_student @ error + 2 * of_error @ t)).sum(1)
    rows = rows + (t * ((error_other @ error_other.mT) @ t)).sum(1)
    return rows.clamp_min(0) / count_valid(valid_other, s2)[:, None]


def absolute_rows(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, valid_other: Tensor | None) -> Tensor:
    """Four (B, D, n) unit vectors -> (B, n): mean of |A_s - A_t|, a tile of rows at a time."""
    n = s.shape[2]
    tile = max(1, _TILE_ELEMENTS // s2.shape[2])
    recompute = n > tile and torch.is_grad_enabled() and s.requires_grad
    rows = []
    for at in range(0, n, tile):
        here = (t[:, :, at : at + tile], s[:, :, at : at + tile], t2, s2, valid_other)
        rows.append(
            checkpoint(_absolute_tile, *here, use_reentrant=False, preserve_rng_state=False)
            if recompute
            else _absolute_tile(*here)
        )
    return torch.cat(rows, dim=1)


def _absolute_tile(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, valid_other: Tensor | None) -> Tensor:
    return cell_mean((affinity(s, s2) - affinity(t, t2)).abs(), valid_other)


def _row_cosine(t: Tensor, x: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """Four (B, D, n) -> (B, n): half the squared distance of the unit rows of tᵀx and sᵀy."""
    fewer_positions = t.shape[2] <= t.shape[1]

    def product(a: Tensor, x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        """Row i of aᵀx times row i of bᵀy, through n x n or D x D, whichever is smaller."""
        return ((a.mT @ x) * (b.mT @ y)).sum(2) if fewer_positions else (a * ((x @ y.mT) @ b)).sum(1)

    tt, ss, ts = product(t, x, x, t), product(s, y, y, s), product(t, x, y, s)
    t_square, s_square = tt.clamp_min(_SHORT_ROW_SQUARE), ss.clamp_min(_SHORT_ROW_SQUARE)
    distance: Tensor = 0.5 * (tt / t_square + ss / s_square) - ts / (t_square * s_square).sqrt()
    return distance.clamp_min(0)
