"""StableAdamW: AdamW whose step shrinks where a gradient is out of proportion to those before it.

Wortsman et al., arXiv:2304.13013, in the form in which Dinomaly, arXiv:2405.14325, trains with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

__all__ = ["StableAdamWOptimiser"]


class StableAdamWOptimiser(torch.optim.AdamW):
    """AdamW with the largest second moment so far (AMSGrad), whose step is clipped for each tensor.

    With m and v the moments of the gradient g at step t, and v* the largest v so far::

        p <- p - lr * decay * p
        d  = sqrt(v*) / sqrt(1 - beta2^t) + eps
        c  = max(1, RMS(g / d))
        p <- p - lr / (1 - beta1^t) / c * m / d

    torch's fused AdamW takes the step as if c were 1. Where it is larger, which is seldom, what was too much
    is taken back.

    Args:
        parameters: parameters to train.
        lr: learning rate.
        betas: decay of both moments, each in [0, 1).
        eps: least denominator.
        weight_decay: share of a parameter, times the learning rate, that it loses at each step.
    """

    def __init__(
        self,
        parameters: ParamsT,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(
            parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=True, fused=True
        )
        self._step_supports_amp_scaling = False  # Lightning clips no gradients of an optimiser that does

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss: float | None = super().step(closure)
        for group in self.param_groups:
            self._take_back(group)
        return loss

    def _take_back(self, group: dict[str, Any]) -> None:
        """Undo the part of the last step by which c is above 1."""
        moved = [p for p in group["params"] if p.grad is not None]
        if not moved:
            return
        beta1, beta2 = group["betas"]
        steps = torch.stack([self.state[p]["step"] for p in moved]).tolist()
        roots = [math.sqrt(1 - beta2**t) for t in steps]

        def scaled_denominator(p: Tensor, root: float) -> Tensor:
            largest: Tensor = self.state[p]["max_exp_avg_sq"]
            return largest.sqrt().add_(group["eps"] * root)  # d times the root

        excess = torch.stack(
            [
                torch.linalg.vector_norm(p.grad / scaled_denominator(p, root)) * (root / math.sqrt(p.numel()))
                for p, root in zip(moved, roots, strict=True)
            ]
        )  # read from the device at once
        for p, t, root, c in zip(moved, steps, roots, excess.tolist(), strict=True):
            if c > 1:
                back = (1 - 1 / c) * group["lr"] / (1 - beta1**t) * root
                p.addcdiv_(self.state[p]["exp_avg"], scaled_denominator(p, root), value=back)
