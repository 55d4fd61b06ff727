"""Teacher: unit_vectors images -> Features; frozen and always in eval mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.backbone import channels_first, choose_levels, create_network, strides_of
from understudy.types import Features

__all__ = ["Teacher", "default_strides", "embedding"]

_LITE = "tf_efficientnet_lite"


def default_strides(name: str, image_size: int = 256) -> tuple[int, ...]:
    """The levels taken when none are asked for.

    The papers take the strides 4, 8, 16 of a ResNet; the embedded teacher detects more on real parts with
    8, 16, 32, which its larger sisters are given too (docs/decisions/0003). A plain transformer has one
    stride alone, of which three of its levels are taken.

    Raises:
        InputError: as :class:`Teacher` does.
    """
    if name.startswith(_LITE):
        return (8, 16, 32)
    there = strides_of(name, image_size)
    return (there[0],) * 3 if len(set(there)) == 1 else (4, 8, 16)


def embedding(features: Features) -> Tensor:
    """Features -> (B, D) mean of the coarsest level over the picture, of length one: what it shows."""
    return F.normalize(features[-1].float().mean(dim=(2, 3)), dim=1)


class Teacher(nn.Module):
    """A frozen timm backbone, (B, 3, S, S) unit_vectors images -> one (B, D, S/stride, S/stride) a level.

    Args:
        name: a timm model name, such as ``wide_resnet50_2``.
        strides: levels by their stride; see :func:`understudy.distill.backbone.choose_levels`.
        image_size: S; some transformers are built for one size.

    Raises:
        InputError: timm has no such model, it has no feature level of that stride, or it cannot take
            pictures of that size.

    The architecture starts with random weights; :func:`understudy.distill.weights.load_teacher`
    fills it.
    """

    def __init__(self, name: str, strides: Sequence[int], image_size: int = 256) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        self.levels, self.indices = choose_levels(name, strides, image_size)
        self.backbone = create_network(name, image_size, out_indices=self.indices)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Features:  # noqa: D102
        with torch.no_grad():
            return channels_first(self.backbone(images), self.levels)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever is asked: keeps BatchNorm statistics fixed."""
        return super().train(False)

    def is_signed(self) -> bool:
        """Whether features can be negative, seen on one picture of noise.

        A ResNet's levels end in a ReLU; the embedded teacher's are linear. The student must end alike.
        """
        side = self.image_size
        noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        return any(bool((level < 0).any()) for level in self(noise))
