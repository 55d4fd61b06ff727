"""What counts: padding and regions that the user ignores are in no loss and in no map.

``care`` is 1 where a picture's pixel or a level's cell counts and 0 where it does not. ``None`` says that all
of them do, and costs nothing. Features are zeroed where nothing counts and means divided by how many cells
do, so that every form of every term is exactly what it would be on the counting cells alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["NO_SHARE", "batch_mean", "cell_mean", "cells", "centred", "counted", "flat", "log_softmax"]

_ENOUGH = 0.5  # of a cell's area
NO_SHARE = -1e9  # a logit whose softmax is 0; minus infinity would make 0·(inf - inf) of a divergence


def cells(care: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) -> (B, 1, h, w): which cells of a grid count, those of which at least half does.

    If none of a picture's cells does, the best covered ones count; if none of its pixels does, no cell.
    """
    covered = F.adaptive_avg_pool2d(care, grid)
    enough = covered.amax(dim=(2, 3), keepdim=True).clamp_max(_ENOUGH)
    return ((covered >= enough) & (covered > 0)).to(care.dtype)


def counted(care: Tensor | None, features: Tensor) -> Tensor:
    """Of (B, D, h, w) or (B, D, n) features (B,) float32: how many cells count; 1 where none does."""
    if care is None:
        return torch.full((features.shape[0],), float(features[0, 0].numel()), device=features.device)
    return care.flatten(1).sum(1).clamp_min(1)


def flat(features: Tensor, care: Tensor | None) -> Tensor:
    """(B, D, h, w) of any precision -> (B, D, n) float32; zero where nothing counts, whatever stood there."""
    values = features.float().flatten(2)
    return values if care is None else values.masked_fill(care.flatten(2) == 0, 0.0)


def cell_mean(values: Tensor, care: Tensor | None) -> Tensor:
    """(B, ..., n) -> (B, ...): mean over the cells that count; ``values`` is zero at all others."""
    if care is None:
        return values.mean(-1)
    total = values.sum(-1)
    return total / counted(care, values).view(-1, *(1,) * (total.ndim - 1))


def batch_mean(values: Tensor, care: Tensor | None) -> Tensor:
    """(B, C, h, w) or (B, C, n) -> scalar: mean over the batch of each picture's :func:`cell_mean`."""
    return values.mean() if care is None else cell_mean(values.flatten(2), care).mean()


def centred(values: Tensor, care: Tensor | None) -> Tensor:
    """(B, D, n) -> same shape, less its :func:`cell_mean`; zero where nothing counts."""
    less = values - cell_mean(values, care).unsqueeze(-1)
    return less if care is None else less.masked_fill(care.flatten(2) == 0, 0.0)


def log_softmax(logits: Tensor, care: Tensor | None) -> Tensor:
    """(B, C, n) -> same shape, over the last axis; cells that do not count have no share."""
    if care is not None:
        logits = logits.masked_fill(care.flatten(2) == 0, NO_SHARE)
    return torch.log_softmax(logits, dim=-1)
