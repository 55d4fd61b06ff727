"""The teacher: a frozen backbone, normalised images -> features of several levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.backbone import channels_first, choose_levels, create_network, strides_of
from understudy.distill.transformer import BlockMeans, choose_blocks
from understudy.types import Features

__all__ = ["Teacher", "default_strides", "embedding"]

_LITE = "tf_efficientnet_lite"


def default_strides(name: str, image_size: int = 256) -> tuple[int, ...]:
    """Strides of the levels that a teacher uses by default, finest first.

    The papers use the strides 4, 8 and 16 of a ResNet. The embedded teacher detects more on real parts with
    8, 16 and 32, and so its larger versions use them too (docs/decisions/0003). A plain transformer has only
    one stride; three of its levels are used, and two of a DINOv2's, each the mean of blocks
    (docs/decisions/0048).

    Raises:
        InputError: timm has no such model, or it cannot take pictures of that size.
    """
    if name.startswith(_LITE):
        return (8, 16, 32)
    there = strides_of(name, image_size)
    if choose_blocks(name, (there[0],) * 2):
        return (there[0],) * 2
    return (there[0],) * 3 if len(set(there)) == 1 else (4, 8, 16)


def embedding(features: Features) -> Tensor:
    """Features -> (B, D) of length one: mean of the coarsest level, by which the product is recognised."""
    return F.normalize(features[-1].float().mean(dim=(2, 3)), dim=1)


class Teacher(nn.Module):
    """A frozen timm backbone: (B, 3, S, S) normalised images -> one (B, D, S/stride, S/stride) a level.

    It starts with random weights; :func:`understudy.distill.weights.load_teacher` loads the real ones. It
    always stays in eval mode.

    Args:
        name: timm name, such as ``wide_resnet50_2``.
        strides: strides of the levels, finest first; see :func:`understudy.distill.backbone.choose_levels`.
        image_size: S in pixels; some transformers take no other size.
        blocks: blocks whose mean is a level, for each level, counted from 0, as
            :func:`understudy.distill.transformer.choose_blocks` chooses them; ``None`` for timm's own levels.

    Raises:
        InputError: timm has no such model, the model has no level of a stride or no such block, or it cannot
            take pictures of that size.
    """

    def __init__(
        self,
        name: str,
        strides: Sequence[int],
        image_size: int = 256,
        blocks: tuple[tuple[int, ...], ...] | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.blocks = blocks
        self.indices: tuple[int, ...] = ()
        if blocks is None:
            self.levels, self.indices = choose_levels(name, strides, image_size)
        self.backbone = self.new_network()
        if isinstance(self.backbone, BlockMeans):
            self.levels = self.backbone.levels
        self.requires_grad_(False)
        self.eval()

    def new_network(self) -> nn.Module:
        """Build a network with random weights that gives the same levels."""
        if self.blocks is not None:
            return BlockMeans(self.name, self.image_size, self.blocks)
        return create_network(self.name, self.image_size, out_indices=self.indices)

    def forward(self, images: Tensor) -> Features:  # noqa: D102
        with torch.no_grad():
            return self.differentiable(images)

    def differentiable(self, images: Tensor) -> Features:
        """Like a call, but a gradient of the features reaches the images."""
        return channels_first(self.backbone(images), self.levels)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever ``mode`` is, so that batch-normalisation statistics never change."""
        return super().train(False)

    def is_signed(self) -> bool:
        """Whether features can be negative, measured on one picture of noise.

        The levels of a ResNet end in a ReLU, those of the embedded teacher do not. The student must end in
        the same way.
        """
        side = self.image_size
        noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        return any(bool((level < 0).any()) for level in self(noise))
