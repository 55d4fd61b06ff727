"""Levels of a plain transformer: each is the mean of several blocks, layer-normed over its channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import InputError
from understudy.types import Features, Level

__all__ = ["BlockMeans", "choose_blocks", "fit_to_grid"]

_FAMILY = "dinov2"
_PATCH = "patch_embed.proj.weight"
_FEWEST, _USED = 12, 8  # blocks of the smallest network, and those that make its levels


def choose_blocks(name: str, strides: Sequence[int]) -> tuple[tuple[int, ...], ...] | None:
    """Choose the blocks whose mean is a level, counted from 0: one group a level, finest level first.

    Eight blocks from the middle of the network are spread over the levels. With 12 blocks and two levels
    these are 2 to 5 and 6 to 9, with 24 blocks every second one from 4 to 10 and from 12 to 18 (Dinomaly,
    arXiv:2405.14325).

    Args:
        name: timm name.
        strides: strides of the levels.

    Returns:
        The groups; ``None`` for a backbone other than DINOv2, and for strides that it does not have.

    Raises:
        InputError: eight blocks cannot be spread evenly over so many levels.
    """
    if _FAMILY not in name or not timm.is_model(name):
        return None
    depth, cell = _shape_of(name)
    if depth < _FEWEST or set(strides) != {cell}:
        return None
    size, rest = divmod(_USED, len(strides))
    if rest:
        raise InputError(
            f"the {_USED} blocks of {name} that are used cannot be spread over {len(strides)} levels; "
            f"name the stride {cell} once, twice, 4 or 8 times"
        )
    used = [depth // 6 + i * (depth // _FEWEST) for i in range(_USED)]
    return tuple(tuple(used[k : k + size]) for k in range(0, _USED, size))


class BlockMeans(nn.Module):
    """(B, 3, S, S) normalised images -> one (B, D, S/P, S/P) a level, P pixels to a cell.

    A level is the mean of the outputs of some blocks, layer-normed over its channels without weights: outputs
    grow about tenfold from block 2 to block 9, and now all cells have one length. Class and register tokens
    are left out. Blocks behind the last one are not built.

    Args:
        name: timm name of a plain transformer.
        image_size: S in pixels, a multiple of P.
        blocks: blocks of each level, counted from 0.

    Raises:
        InputError: the network is no plain transformer or has no such block, or S is no multiple of P.
    """

    def __init__(self, name: str, image_size: int, blocks: Sequence[Sequence[int]]) -> None:
        super().__init__()
        depth, cell = _shape_of(name)
        if not blocks or not all(blocks) or not all(0 <= b < depth for group in blocks for b in group):
            raise InputError(
                f"{name} has {depth} blocks to make levels of, asked for {list(map(list, blocks))}"
            )
        if image_size % cell:
            below = image_size // cell * cell
            near = f"{below} or {below + cell}" if below else f"{cell}"
            raise InputError(
                f"{name} sees cells of {cell} pixels, and {image_size} is no multiple of that; "
                f"use --image-size {near}"
            )
        self.grid = image_size // cell
        self.blocks = tuple(tuple(group) for group in blocks)
        self.used = sorted({block for group in blocks for block in group})
        model: Any = timm.create_model(name, pretrained=False, img_size=image_size, num_classes=0)
        model.prune_intermediate_layers(self.used, prune_norm=True)
        self.levels = [Level(model.embed_dim, cell) for _ in blocks]
        self.model = model

    def forward(self, images: Tensor) -> Features:  # noqa: D102
        model: Any = self.model
        found = model.forward_intermediates(
            images, indices=self.used, output_fmt="NLC", intermediates_only=True, stop_early=True
        )
        tokens = dict(zip(self.used, found, strict=True))
        return [self._level([tokens[block] for block in group]) for group in self.blocks]

    def _level(self, tokens: list[Tensor]) -> Tensor:
        """(B, cells, D) of each block -> (B, D, h, w)."""
        mean = torch.stack([each.float() for each in tokens]).mean(dim=0)
        normed = F.layer_norm(mean, mean.shape[-1:]).transpose(1, 2)
        return normed.reshape(*normed.shape[:2], self.grid, self.grid)


def fit_to_grid(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Give the tensors of a plain transformer timm's names, and resample its position embeddings to a grid.

    Args:
        state: tensors by their names, DINOv2's own or timm's.
        network: network that is to take them. Nothing changes unless it is a plain transformer with the same
            patches.
    """
    if not isinstance(network, VisionTransformer) or _PATCH not in state:
        return state
    if state[_PATCH].shape != network.patch_embed.proj.weight.shape:
        return state
    fitted: dict[str, Tensor] = checkpoint_filter_fn(dict(state), network)
    return fitted


@cache
def _shape_of(name: str) -> tuple[int, int]:
    """Return how many blocks a plain transformer has, and the side of its cells in pixels.

    Raises:
        InputError: timm knows no plain transformer of that name.
    """
    network: Any = None
    if timm.is_model(name):
        with torch.device("meta"):  # without memory and initialisation
            network = timm.create_model(name, pretrained=False)
    if not isinstance(network, VisionTransformer):
        raise InputError(f"{name} is no plain transformer of timm; its levels cannot be means of blocks")
    return len(network.blocks), network.patch_embed.patch_size[0]
