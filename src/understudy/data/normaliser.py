"""Decoded pictures -> a network's input, on the device where the pictures are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.runtime.images import Preprocess

__all__ = ["Normaliser"]


class Normaliser(nn.Module):
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32, minus mean, over std; laid out channels-last."""

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.mean, self.std = (
            nn.Buffer(255 * torch.tensor(v), persistent=False) for v in (preprocess.mean, preprocess.std)
        )

    def forward(self, pictures: Tensor) -> Tensor:  # noqa: D102
        return ((pictures - self.mean) / self.std).permute(0, 3, 1, 2)
