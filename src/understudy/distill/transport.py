"""Optimal transport between sets of points: the debiased Sinkhorn divergence, in plain torch.

Feydy et al., *Interpolating between optimal transport and MMD using Sinkhorn divergences*, arXiv:1810.08278.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.valid import unit_vectors

__all__ = ["partner_transport", "sinkhorn_divergence"]

_NO_WEIGHT = -1e5  # logarithm of a weight of zero
_GRID = 16  # points along a side of a level


def partner_transport(features: Tensor, shift: int, valid: Tensor | None = None) -> Tensor:
    """(B, D, H, W) -> scalar: mean Sinkhorn divergence of each picture's points from its partner's.

    The points of a picture are the positions' vectors of length one, averaged to 16 x 16 where there are
    more.

    Args:
        features: of one level.
        shift: the partner of picture b is picture (b + shift) mod B.
        valid: (B, 1, H, W) cells that count; a picture without one adds nothing.
    """
    points, weights = _points(features, valid)
    if weights is None:
        return sinkhorn_divergence(points, points.roll(-shift, 0)).mean()
    counts = weights.sum(1) > 0
    both = counts & counts.roll(-shift, 0)
    weights = torch.where(counts[:, None], weights, 1 / weights.shape[1])  # any, so that all is finite
    partners = points.roll(-shift, 0), weights.roll(-shift, 0)
    apart = sinkhorn_divergence(points, partners[0], weights, partners[1])
    return torch.where(both, apart, 0.0).mean()


def _points(features: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """(B, D, H, W) -> (B, n, D) points and their (B, n) weights; ``None`` if all are equal."""
    grid = (min(features.shape[2], _GRID), min(features.shape[3], _GRID))
    unit = unit_vectors(features, "channel", valid).view(features.shape)
    pooled = F.adaptive_avg_pool2d(unit, grid).flatten(2).mT
    if valid is None:
        return pooled, None
    share = F.adaptive_avg_pool2d(valid, grid).flatten(1)
    points = pooled / torch.where(share > 0, share, 1.0)[:, :, None]
    return points, share / share.sum(1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    x_weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    *,
    blur: float = 0.05,
    diameter: float = 2.0,
    scaling: float = 0.5,
) -> Tensor:
    """(B, n, D) and (B, m, D) points -> (B,): how far the sets are apart; 0 where they are the same.

    The cost of a way is half its squared length. Blur falls from ``diameter`` to ``blur``, and the potentials
    of each step start from those of the step before. The gradient reaches both sets, and is that of the value
    where the potentials are the best ones.

    Args:
        x: points of each set.
        y: points of the other sets.
        x_weights: (B, n) weights of the points, at least 0; equal ones by default. They sum to one.
        y_weights: (B, m) weights of the other points.
        blur: length below which ways are not told apart.
        diameter: longest way that is possible.
        scaling: share of the blur that a step leaves, below 1; nearer to 1 is more exact and slower.
    """
    a, b = _log_weights(x, x_weights), _log_weights(y, y_weights)
    # Each potential has a gradient with respect to its own points alone.
    xy, yx, xx, yy = (_cost(p, q.detach()) for p, q in ((x, y), (y, x), (x, x), (y, y)))
    steps = max(1, math.ceil(math.log(blur / diameter) / math.log(scaling)) + 1)
    with torch.no_grad():
        e = max(diameter, blur) ** 2
        f, g = _soft_minimum(e, xy, b), _soft_minimum(e, yx, a)
        own_f, own_g = _soft_minimum(e, xx, a), _soft_minimum(e, yy, b)
        for step in range(steps):
            e = max(diameter * scaling**step, blur) ** 2
            new_f, new_g = _soft_minimum(e, xy, b + g / e), _soft_minimum(e, yx, a + f / e)
            f, g = (f + new_f) / 2, (g + new_g) / 2
            own_f = (own_f + _soft_minimum(e, xx, a + own_f / e)) / 2
            own_g = (own_g + _soft_minimum(e, yy, b + own_g / e)) / 2
    f, g = _soft_minimum(e, xy, b + g / e), _soft_minimum(e, yx, a + f / e)
    own_f, own_g = _soft_minimum(e, xx, a + own_f / e), _soft_minimum(e, yy, b + own_g / e)
    return (a.exp() * (f - own_f)).sum(1) + (b.exp() * (g - own_g)).sum(1)


def _log_weights(points: Tensor, weights: Tensor | None) -> Tensor:
    """(B, n, D) points and (B, n) weights -> (B, n) logarithms of the weights."""
    if weights is None:
        return points.new_full(points.shape[:2], -math.log(points.shape[1]))
    return weights.log().clamp_min(_NO_WEIGHT)


def _cost(p: Tensor, q: Tensor) -> Tensor:
    """(B, n, D) and (B, m, D) -> (B, n, m): half the squared distance of each pair of points."""
    squares = p.square().sum(2)[:, :, None] + q.square().sum(2)[:, None]
    return (squares / 2 - p @ q.mT).clamp_min(0)


def _soft_minimum(regular: float, cost: Tensor, log_weights: Tensor) -> Tensor:
    """(B, n, m) costs C and (B, m) logarithms w -> (B, n): -r·log of the sum over m of exp(w - C / r)."""
    return -regular * torch.logsumexp(log_weights[:, None] - cost / regular, 2)
