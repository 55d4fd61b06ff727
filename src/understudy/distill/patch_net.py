"""Patch nets: a patch of 17, 33 or 65 pixels a side -> a descriptor; and the losses of their teacher.

Uninformed Students, arXiv:1911.02357. A patch net is applied to every pixel of a picture at once (Bailer et
al., *Fast dense feature extraction with CNNs that have pooling or striding layers*, 2017), or to every
fourth or eighth one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.ensemble import SLOPE
from understudy.distill.valid import SHORTEST
from understudy.types import Features

__all__ = [
    "DESCRIPTOR",
    "PatchNet",
    "PatchNets",
    "PatchSide",
    "PatchStride",
    "PatchTeacher",
    "correlation_loss",
    "knowledge_loss",
    "margin_loss",
]

PatchSide = Literal[17, 33, 65]
PatchStride = Literal["pool", "dense"]

DESCRIPTOR = 128
"""Channels of a descriptor."""

_POOL = (0, 0)
_LAYERS: dict[PatchSide, tuple[tuple[int, int], ...]] = {  # side of the kernel and channels, or a pool
    17: ((6, 128), (5, 256), (5, 256), (4, DESCRIPTOR)),
    33: ((5, 128), _POOL, (5, 256), _POOL, (2, 256), (4, DESCRIPTOR)),
    65: ((5, 128), _POOL, (5, 128), _POOL, (5, 128), _POOL, (4, 256), (1, DESCRIPTOR)),
}


class PatchNet(nn.Module):
    """(B, 3, p, p) patches -> (B, 128, 1, 1) descriptors; a larger picture gives a grid of them.

    Convolutions are unpadded, pools take the maximum of 2x2 and halve the grid, and a leaky ReLU follows each
    convolution but the last.

    Args:
        side: p in pixels.

    Attributes:
        stride: pixels from one cell of the grid to the next.
    """

    def __init__(self, side: PatchSide) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.ModuleList()
        channels = 3
        for kernel, wider in _LAYERS[side]:
            if kernel:
                self.layers.append(nn.Conv2d(channels, wider, kernel))
                channels = wider
            else:
                self.layers.append(nn.MaxPool2d(2))
        self.stride = 2 ** sum(isinstance(layer, nn.MaxPool2d) for layer in self.layers)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        for number, layer in enumerate(self.layers, 1):
            images = self._activated(layer(images), number)
        return images

    def dense(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 128, H, W): the descriptor of the patch around each pixel, mirrored outside.

        Pools move by one pixel, and later layers skip as many as they would have: the numbers are those of
        the net on each patch.
        """
        found, apart = self._padded(images), 1
        for number, layer in enumerate(self.layers, 1):
            if isinstance(layer, nn.MaxPool2d):
                found = F.max_pool2d(found, 2, stride=1, dilation=apart)
                apart *= 2
            else:
                assert isinstance(layer, nn.Conv2d)
                found = F.conv2d(found, layer.weight, layer.bias, dilation=apart)
            found = self._activated(found, number)
        return found[..., : images.shape[-2], : images.shape[-1]]

    def strided(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 128, H/stride, W/stride), rounded up: every so many pixels of :meth:`dense`."""
        height, width = (-(-length // self.stride) for length in images.shape[-2:])
        found: Tensor = self(self._padded(images))
        return found[..., :height, :width]

    def _padded(self, images: Tensor) -> Tensor:
        return F.pad(images, [self.side // 2] * 4, mode="reflect")

    def _activated(self, found: Tensor, number: int) -> Tensor:
        """Apply the leaky ReLU behind a convolution that is not the last layer."""
        if number == len(self.layers) or isinstance(self.layers[number - 1], nn.MaxPool2d):
            return found
        return F.leaky_relu(found, SLOPE)


class PatchNets(nn.Module):
    """(B, 3, S, S) images -> one (B, 128, h, w) a patch size; a student, which needs no grids.

    Args:
        sides: patch sizes in pixels.
        stride: ``pool`` gives a descriptor every 4 pixels for patches of 33, and every 8 for 65; ``dense``
            gives one at every pixel, as patches of 17 always do.
    """

    def __init__(self, sides: Sequence[PatchSide], stride: PatchStride = "pool") -> None:
        super().__init__()
        self.nets = nn.ModuleList(PatchNet(side) for side in sides)
        self.stride = stride

    def forward(self, images: Tensor, grids: Sequence[tuple[int, int]] = ()) -> Features:  # noqa: D102
        return [net.dense(images) if self.stride == "dense" else net.strided(images) for net in self]

    def __iter__(self) -> Iterator[PatchNet]:
        for net in self.nets:
            assert isinstance(net, PatchNet)
            yield net


class PatchTeacher(nn.Module):
    """Images and the backbone's features, which it does not need -> one (B, 128, h, w) a patch size.

    Its nets are frozen. They start with random weights; see
    :func:`understudy.train.patch_teacher.distill_patch_teacher`.

    Args:
        sides: patch sizes in pixels.
        stride: see :class:`PatchNets`.
        steps: steps in which each net is to be distilled from a backbone.
    """

    def __init__(self, sides: Sequence[PatchSide], stride: PatchStride, steps: int) -> None:
        super().__init__()
        self.descriptors = PatchNets(sides, stride)
        self.steps = steps
        self.requires_grad_(False)

    def forward(self, images: Tensor, features: Features) -> Features:  # noqa: D102
        with torch.no_grad():
            found: Features = self.descriptors(images)
            return found


def knowledge_loss(decoded: Tensor, pooled: Tensor) -> Tensor:
    """(B, E) decoded descriptors and (B, E) pooled features of a backbone -> mean squared distance."""
    return (decoded - pooled).square().sum(1).mean()


def margin_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 10.0) -> Tensor:
    """(B, D) descriptors of a patch, of one nearby and of another -> mean of what the margin lacks.

    The nearby one should be nearer than the other by ``margin``, in squared distances. The other's distance
    is that from the patch or from the nearby one, whichever is smaller.
    """
    near = (anchor - positive).square().sum(1)
    far = torch.minimum((anchor - negative).square().sum(1), (positive - negative).square().sum(1))
    return (margin + near - far).clamp_min(0).mean()


def correlation_loss(descriptors: Tensor) -> Tensor:
    """(B, D) -> sum of the squared correlations of every two dimensions over the batch; 0 if none has any."""
    centred = descriptors - descriptors.mean(0)
    unit = centred / torch.linalg.vector_norm(centred, dim=0).clamp_min(SHORTEST)
    squares: Tensor = (unit.T @ unit).square()
    return squares.triu(1).sum()
