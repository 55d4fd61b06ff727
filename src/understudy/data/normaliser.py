"""Decoded pictures -> a network's input, on the device where the pictures are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy.runtime.preprocess import Preprocess

__all__ = ["Normaliser"]


class Normaliser(nn.Module):
    """Windows (B, S, S, 3) or (B, S, S, 4) uint8 -> images and what counts, as ``Preprocess.inputs`` does.

    Images are (B, 3, S, S) float32, minus mean, over std, laid out channels-last; what counts is
    (B, 1, S, S) of windows with four channels, else ``None``.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.mean, self.std = (
            nn.Buffer(255 * torch.tensor(v), persistent=False) for v in (preprocess.mean, preprocess.std)
        )

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: D102
        images = ((windows[..., :3] - self.mean) / self.std).permute(0, 3, 1, 2)
        if windows.shape[-1] == 3:
            return images, None
        care = (windows[..., 3:] / 255).permute(0, 3, 1, 2)
        return images * care, care
