"""CRAM: the central residual aggregation module, which keeps only what a learned centre leaves over."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CRAM", "CenterInit", "CramMode", "aggregate_residuals", "assign_softly"]

CramMode = Literal["residual", "codebook"]
CenterInit = Literal["uniform", "normal"]


def assign_softly(features: Tensor, centers: Tensor, alpha: Tensor) -> Tensor:
    """(n, D) features, (N, D) centres -> (n, N): softmax over the centres of -alpha·‖f - c‖². Eq. (8)."""
    distance = (centers**2).sum(1) - 2 * (features @ centers.T)  # ‖f - c‖² - ‖f‖²
    if len(alpha) > 1:  # with one alpha ‖f‖² is the same for all centres and falls out of the softmax
        distance = distance + (features**2).sum(1, keepdim=True)
    return torch.softmax(-alpha * distance, dim=1)


def aggregate_residuals(features: Tensor, centers: Tensor, assigned: Tensor) -> Tensor:
    """(n, D), (N, D), (n, N) -> (n, D): sum over the centres of a·(f - c). Eq. (9).

    As the assignments of a position sum to one, that is f minus the assigned centres' mean.
    """
    return torch.addmm(features, assigned, centers, alpha=-1)


class CRAM(nn.Module):
    """(B, D, H, W) -> same shape: each position's residual to its softly assigned centre.

    Eq. (8)-(9) of SNL, arXiv:2402.17091. All centres at zero make it the identity.

    Args:
        channels: D.
        centers: N, 50 in the paper.
        mode: ``residual`` as printed, or ``codebook``: the assigned centre itself, as an ablation.
        per_center_alpha: one sharpness a centre instead of one in all.
        init: of the centres; ``uniform`` within 1/sqrt(N·D), near the identity, or standard ``normal``.

    The sharpness alpha is learned through a softplus and starts at 1/D, so that alpha·‖r‖² starts
    as a mean square per channel and every centre receives gradient.
    """

    def __init__(
        self,
        channels: int,
        centers: int,
        mode: CramMode = "residual",
        *,
        per_center_alpha: bool = False,
        init: CenterInit = "uniform",
    ) -> None:
        super().__init__()
        self.mode = mode
        bound = 1 / math.sqrt(centers * channels)
        start_at = torch.empty(centers, channels)
        self.centers = nn.Parameter(
            start_at.normal_() if init == "normal" else start_at.uniform_(-bound, bound)
        )
        start = math.log(math.expm1(1 / channels))  # softplus(start) = 1/D
        self._assigned: Tensor | None = None
        self.raw_alpha = nn.Parameter(torch.full((centers if per_center_alpha else 1,), start))

    @property
    def alpha(self) -> Tensor:
        """(1,) or (N,) positive sharpness of the assignment."""
        return F.softplus(self.raw_alpha)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> same shape, computed in float32 whatever the input."""
        with torch.autocast(features.device.type, enabled=False):
            last = features.float().permute(0, 2, 3, 1)  # (B, H, W, D), as they lie in memory
            positions = last.flatten(0, 2)  # (n, D)
            assigned = assign_softly(positions, self.centers, self.alpha)
            self._assigned = assigned.detach() if self.training else None
            if self.mode == "codebook":
                out = assigned @ self.centers
            else:
                out = aggregate_residuals(positions, self.centers, assigned)
        return out.view(last.shape).permute(0, 3, 1, 2).to(features.dtype)

    def usage(self, gather: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """How the centres were used by the last batch of a training; nothing before one.

        ``centers_used`` counts those that some position is assigned to more than to any other;
        ``assignment_entropy`` is the mean over positions, as a share of its largest value log N: 0 where
        each position has one centre, 1 where it is spread evenly over all.

        Args:
            gather: (n, N) assignments of this process -> those of all processes that train together.
        """
        if self._assigned is None:
            return {}
        a = gather(self._assigned) if gather else self._assigned
        entropy = torch.special.entr(a).sum(1).mean() / math.log(max(2, a.shape[1]))
        return {
            "centers_used": float(a.argmax(1).bincount().count_nonzero()),
            "assignment_entropy": float(entropy),
        }
