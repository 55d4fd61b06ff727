"""Which pixels count: padding and ignored regions are in no loss and in no map.

``valid`` is 1 where a pixel of a picture, or a cell of a feature level, counts and 0 where it does not.
``None`` means that all of them count. Features are set to zero where nothing counts, and sums are divided by
the number of cells that do. So every term is exactly what it would be on the counting cells alone.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "NO_SHARE",
    "SHORTEST",
    "UNIT_AXES",
    "AffinityNorm",
    "batch_mean",
    "cell_mean",
    "centre",
    "count_valid",
    "flatten_valid",
    "log_softmax",
    "unit_vectors",
    "valid_cells",
]

AffinityNorm = Literal["channel", "tensor", "map"]
UNIT_AXES: dict[AffinityNorm, tuple[int, ...]] = {"channel": (1,), "map": (2,), "tensor": (1, 2)}

NO_SHARE = -1e20  # a logit below all others; minus infinity would give 0·(inf - inf) in a divergence
SHORTEST = 1e-6  # a shorter vector shrinks to zero, which bounds the gradient there
_ENOUGH = 0.5  # share of a cell's area


def valid_cells(valid: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) pixels -> (B, 1, h, w) cells: a cell counts if at least half of its pixels do.

    A picture without such a cell keeps the best covered ones; one without a valid pixel keeps none.
    """
    covered = F.adaptive_avg_pool2d(valid, grid)
    enough = covered.amax(dim=(2, 3), keepdim=True).clamp_max(_ENOUGH)
    return ((covered >= enough) & (covered > 0)).to(valid.dtype)


def count_valid(valid: Tensor | None, features: Tensor) -> Tensor:
    """(B, D, h, w) or (B, D, n) features -> (B,) float32: number of valid cells, 1 where there is none."""
    if valid is None:
        return torch.full((features.shape[0],), float(features[0, 0].numel()), device=features.device)
    return valid.flatten(1).sum(1).clamp_min(1)


def flatten_valid(features: Tensor, valid: Tensor | None) -> Tensor:
    """(B, D, h, w) of any precision -> (B, D, n) float32; zero at cells that do not count."""
    values = features.float().flatten(2)
    return values if valid is None else values.masked_fill(valid.flatten(2) == 0, 0.0)


def cell_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """(B, ..., n) -> (B, ...): mean over the valid cells; ``values`` must be zero at all others."""
    if valid is None:
        return values.mean(-1)
    total = values.sum(-1)
    return total / count_valid(valid, values).view(-1, *(1,) * (total.ndim - 1))


def batch_mean(values: Tensor, valid: Tensor | None) -> Tensor:
    """(B, C, h, w) or (B, C, n) -> scalar: mean over the batch of each picture's :func:`cell_mean`.

    ``values`` must be zero at cells that do not count.
    """
    return values.mean() if valid is None else cell_mean(values.flatten(2), valid).mean()


def centre(values: Tensor, valid: Tensor | None) -> Tensor:
    """(B, D, n) -> same shape, minus its :func:`cell_mean`; zero at cells that do not count."""
    less = values - cell_mean(values, valid).unsqueeze(-1)
    return less if valid is None else less.masked_fill(valid.flatten(2) == 0, 0.0)


def log_softmax(logits: Tensor, valid: Tensor | None) -> Tensor:
    """(B, C, n) -> same shape, over the last axis; cells that do not count have no share."""
    if valid is not None:
        logits = logits.masked_fill(valid.flatten(2) == 0, NO_SHARE)
    return torch.log_softmax(logits, dim=-1)


def unit_vectors(features: Tensor, norm: AffinityNorm = "channel", valid: Tensor | None = None) -> Tensor:
    """(B, D, H, W) -> (B, D, n) float32 of length one; zeros stay zeros.

    Args:
        features: of any precision.
        norm: what gets length one: ``channel`` each position's vector over the channels (so affinities are
            cosines), ``map`` each channel over the positions, ``tensor`` the whole picture.
        valid: (B, 1, H, W); other cells become zero and count in no length.
    """
    values = flatten_valid(features, valid)
    length = torch.linalg.vector_norm(values, dim=UNIT_AXES[norm], keepdim=True)
    unit: Tensor = values / length.clamp_min(SHORTEST)
    return unit
