"""The cloner of MKD, arXiv:2011.11108: a narrow network that sees the picture and clones the levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.maps import enlarge
from understudy.types import Features, Level, Pair

__all__ = ["Cloner", "GuidedReLU"]

_WIDTH = 16  # channels of every convolution that gives no level
_SHALLOW = 2  # blocks of two convolutions, the first ones; later ones have three, as in VGG-16


class Cloner(nn.Module):
    """Cloner: (B, 3, S, S) images -> one Pair a level.

    It has a block of 3x3 convolutions without bias for each halving of the grid, down to the coarsest level.
    A block ends in maxima of 2x2 cells. All convolutions have 16 channels; only the last one of a block that
    gives a level has those of the level. Batch normalisation and a ReLU stand behind each convolution, but
    behind the last one of a block a ReLU alone. For the pooled levels of a VGG-16 it is the paper's cloner.

    Of levels with one stride, each has a block, and only the first block halves the grid. A level whose cells
    are no power of two wide, such as those of 14 pixels, is resized to the teacher's grid.

    Args:
        levels: the teacher's levels, finest first.
        signed: whether the teacher's features can be negative; then no ReLU stands behind the last
            convolution of a block that gives a level.
        pooled: whether maxima of 2x2 cells of the teacher's levels are cloned, not these levels themselves.
        guided: whether, in eval mode, a gradient passes its ReLUs only where it is positive; see
            :class:`GuidedReLU`.
    """

    sees_images = True

    def __init__(
        self, levels: Sequence[Level], *, signed: bool, pooled: bool = False, guided: bool = False
    ) -> None:
        super().__init__()
        self.pooled = pooled
        self.blocks = nn.ModuleList()
        self.gives: list[bool] = []
        c_in = 3
        halved = 0
        for level in levels:
            missing = round(math.log2(level.stride)) + pooled - halved
            halved += missing
            for _ in range(missing - 1):
                self._append(c_in, None, signed=False, halves=True, guided=guided)
                c_in = _WIDTH
            self._append(c_in, level.channels, signed=signed, halves=missing > 0, guided=guided)
            c_in = level.channels
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.xavier_uniform_(part.weight)

    def _append(self, c_in: int, channels: int | None, *, signed: bool, halves: bool, guided: bool) -> None:
        """Add a block; ``channels`` are those of the level that it gives, if it gives one."""
        relu = GuidedReLU if guided else nn.ReLU
        block = nn.Sequential()
        for _ in range(1 if len(self.blocks) < _SHALLOW else 2):
            block.extend([_conv3x3(c_in, _WIDTH), nn.BatchNorm2d(_WIDTH), relu()])
            c_in = _WIDTH
        block.append(_conv3x3(c_in, channels or _WIDTH))
        if not signed:
            block.append(relu())
        if halves:
            block.append(nn.MaxPool2d(2, ceil_mode=True))
        self.blocks.append(block)
        self.gives.append(channels is not None)

    def forward(self, images: Tensor, features: Features) -> list[Pair]:  # noqa: D102
        if self.pooled:
            features = [F.max_pool2d(f, 2, ceil_mode=True) for f in features]
        own, x = [], images
        for block, gives in zip(self.blocks, self.gives, strict=True):
            x = block(x)
            if gives:
                own.append(x)
        return [
            Pair(t, enlarge(s, (t.shape[-2], t.shape[-1]), align_corners=False))
            for t, s in zip(features, own, strict=True)
        ]


class GuidedReLU(nn.ReLU):
    """A ReLU that in eval mode lets only positive gradients pass, and only where its output is positive.

    It is for guided backpropagation, Springenberg et al., arXiv:1412.6806. In training it is a ReLU.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.training or not torch.is_grad_enabled():
            return super().forward(x)
        guided: Tensor = _Guided.apply(x)
        return guided


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return torch.where(x > 0, gradient.clamp_min(0), 0.0)


def _conv3x3(c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
