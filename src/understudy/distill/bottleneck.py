"""Bottleneck: Features -> one small embedding, so that an anomaly cannot pass through unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from understudy.distill.blocks import conv_bn_relu, initialise, stage
from understudy.errors import InputError
from understudy.types import Features, Level

__all__ = ["OneClassBottleneck", "stride_steps"]


class OneClassBottleneck(nn.Module):
    """OCBE: Features -> (B, 2·D_K, H_K/2, W_K/2), K the coarsest level.

    Multi-scale feature fusion brings every level to the coarsest grid by strided convolutions,
    whose widths are those of the levels passed on the way; one-class embedding then condenses the
    stack with residual blocks. RD, arXiv:2201.10703, section 3.3; for a WideResNet-50-2 this is
    the released structure: 256 -> 512 -> 1024, 512 -> 1024, 1024, together 3072 -> 2048.

    Args:
        levels: the teacher's levels, finest first.
        inner: see :class:`understudy.distill.blocks.Block`.
        depth: number of residual blocks.

    Raises:
        InputError: a stride is not a power-of-two multiple of the one before.
    """

    def __init__(self, levels: Sequence[Level], inner: float | None, depth: int) -> None:
        super().__init__()
        self.to_coarsest = nn.ModuleList(_path_down(levels, k) for k in range(len(levels)))
        width = levels[-1].channels
        self.channels = 2 * width
        self.condense = stage(len(levels) * width, self.channels, inner, depth, down=2)
        initialise(self)

    def forward(self, features: Features) -> Tensor:  # noqa: D102
        paths = zip(self.to_coarsest, features, strict=True)
        embedding: Tensor = self.condense(torch.cat([path(f) for path, f in paths], dim=1))
        return embedding


def stride_steps(levels: Sequence[Level]) -> list[int]:
    """How much coarser each level is than the one before it: [8, 16, 32] -> [2, 2]."""
    steps = []
    for fine, coarse in pairwise(levels):
        step, rest = divmod(coarse.stride, fine.stride)
        if rest or step & (step - 1):
            raise InputError(
                f"a level of stride {coarse.stride} cannot follow one of {fine.stride}: "
                "choose strides that double, such as 4,8,16"
            )
        steps.append(step)
    return steps


def _path_down(levels: Sequence[Level], k: int) -> nn.Sequential:
    """Halve level k again and again until it stands on the coarsest grid with its width."""
    path = nn.Sequential()
    channels = levels[k].channels
    for (width, _), step in zip(levels[k + 1 :], stride_steps(levels)[k:], strict=True):
        for _ in range(step.bit_length() - 1):
            path.append(conv_bn_relu(channels, width, stride=2))
            channels = width
    if channels != levels[-1].channels:  # levels of one stride (a plain transformer, say)
        path.append(conv_bn_relu(channels, levels[-1].channels, stride=1))
    return path
