"""The student of UniAD, arXiv:2206.03687: jittered tokens -> neighbour-masked encoder -> query decoder.

It works on any teacher. All levels are brought to one grid and stacked, so a cell is one token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.maps import enlarge
from understudy.distill.neighbours import EncoderLayer, QueryDecoderLayer, neighbour_mask
from understudy.types import Features, Level, Pair

__all__ = ["FeatureJitter", "TokenStudent", "stack_on_grid", "token_level"]

_WIDTH, _HEADS, _HIDDEN = 256, 8, 1024  # channels of a token, its heads, and channels in an MLP


class FeatureJitter(nn.Module):
    """(B, n, C) tokens -> same shape: in training each with noise in proportion to its length.

    The noise of a token t is normal with deviation ``ratio``·|t| / √C, so it is about ``ratio``·|t| long.

    Args:
        ratio: length of the noise by the length of the token, at least 0. The paper adds deviation 20·|t| / C
            to tokens of 272 channels, which is a ratio of 1.21.
    """

    def __init__(self, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.draws = ratio > 0  # so that a training is seeded at each step

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        if not (self.training and self.draws):
            return tokens
        deviation = self.ratio / tokens.shape[2] ** 0.5 * tokens.norm(dim=2, keepdim=True)
        noisy: Tensor = tokens + deviation * torch.randn_like(tokens)
        return noisy


class TokenStudent(nn.Module):
    """Token student: Features -> one Pair of (B, C, h, w) tokens, with C the channels of all levels.

    The pair's teacher side is the tokens without noise. Queries and positions are learned for the grid of the
    model's pictures; for pictures of another size they are interpolated.

    Args:
        levels: the teacher's levels, finest first.
        image_size: side of the model's pictures in pixels.
        depth: number of layers of the encoder, and of the decoder.
        dropout: rate of the dropout, in [0, 1).
        neighbours: see :func:`understudy.distill.neighbours.neighbour_mask`.
        jitter: see :class:`FeatureJitter`.
        cells: see :func:`token_level`.

    Raises:
        InputError: a token of that grid would see no other one.
    """

    sees_images = False

    def __init__(
        self,
        levels: Sequence[Level],
        image_size: int,
        *,
        depth: int = 4,
        dropout: float = 0.1,
        neighbours: int = 7,
        jitter: float = 1.21,
        cells: int = 14,
    ) -> None:
        super().__init__()
        self.cells, self.neighbours = cells, neighbours
        sides = [-(-image_size // level.stride) for level in levels]
        self.grid = (sides[token_level(sides, cells)],) * 2
        channels = sum(level.channels for level in levels)
        self.jitter = FeatureJitter(jitter)
        self.squeeze = nn.Linear(channels, _WIDTH)
        self.rows, self.columns = (nn.Parameter(torch.rand(n, _WIDTH // 2)) for n in self.grid)
        layer = (_WIDTH, _HEADS, _HIDDEN, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*layer) for _ in range(depth))
        self.decoder = nn.ModuleList(QueryDecoderLayer(*layer, self.grid) for _ in range(depth))
        self.norm = nn.LayerNorm(_WIDTH)
        self.rebuild = nn.Linear(_WIDTH, channels)
        self.mask = nn.Buffer(neighbour_mask(self.grid, neighbours), persistent=False)
        _initialise(self)

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:  # noqa: D102
        clean = stack_on_grid(features, token_level([min(f.shape[-2:]) for f in features], self.cells))
        grid = (clean.shape[2], clean.shape[3])
        places, mask = self._places(grid), self._mask(grid)
        tokens = clean.flatten(2).mT.contiguous()  # noise is drawn in the order of the memory
        memory = self.squeeze(self.jitter(tokens))
        for encoder in self.encoder:
            memory = encoder(memory, places, mask)
        out = memory
        for decoder in self.decoder:
            out = decoder(out, memory, grid, places, mask)
        return [Pair(clean, self.rebuild(self.norm(out)).mT.reshape(clean.shape))]

    def _places(self, grid: tuple[int, int]) -> Tensor:
        """Return the (h·w, D) position embeddings of a grid: of its columns, then of its rows."""
        height, width = grid
        rows, columns = _along(self.rows, height), _along(self.columns, width)
        both = columns.expand(height, -1, -1), rows[:, None].expand(-1, width, -1)
        return torch.cat(both, 2).flatten(0, 1)

    def _mask(self, grid: tuple[int, int]) -> Tensor:
        return self.mask if grid == self.grid else neighbour_mask(grid, self.neighbours).to(self.mask.device)


def token_level(sides: Sequence[int], cells: int) -> int:
    """Number of the level whose grid the tokens have: the coarsest with enough cells.

    Args:
        sides: cells along the shorter side of each level, finest first.
        cells: least number of cells along a side; where no level has as many, the finest one is taken.
    """
    return max((i for i, side in enumerate(sides) if side >= cells), default=0)


def stack_on_grid(features: Features, at: int) -> Tensor:
    """Features -> (B, D_1 + .. + D_L, h, w) float32, brought to the grid of level ``at`` bilinearly."""
    grid = (features[at].shape[-2], features[at].shape[-1])
    return torch.cat(
        [enlarge(level.float(), grid, align_corners=True) for level in features],
        1,
    )


def _along(table: Tensor, n: int) -> Tensor:
    """(m, C) learned embeddings of places along a side -> (n, C), by linear interpolation."""
    if len(table) == n:
        return table
    return F.interpolate(table.T[None], n, mode="linear", align_corners=True)[0].T


def _initialise(student: nn.Module) -> None:
    """Initialise linear layers as UniAD does: Xavier's uniform distribution, without bias."""
    for part in student.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
