"""Attention that does not see a token's neighbours, and the layers that UniAD makes of it, arXiv:2206.03687.

A cell looks much like those around it. A network that sees them, or the cell itself, can copy it; one that
sees none of them has to know what belongs there. So a defect is not rebuilt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.errors import InputError

__all__ = ["EncoderLayer", "QueryDecoderLayer", "neighbour_mask"]


def neighbour_mask(grid: tuple[int, int], side: int) -> Tensor:
    """Grid (h, w) -> (h·w, h·w) of bool, true where the token of a row does not see that of a column.

    Args:
        grid: cells of the grid, whose tokens are in the order of the rows.
        side: side of the square around a cell that it does not see, in cells; an even one counts as the next
            odd one. 0 for no square.

    Raises:
        InputError: some token would see none.
    """
    (height, width), reach = grid, side // 2 if side else -1
    if max(grid) <= 2 * reach + 1:
        fits = max(0, (max(grid) - 2) | 1)
        raise InputError(
            f"the middle of {height} x {width} cells would see none of them, because attention leaves out "
            f"the {2 * reach + 1} x {2 * reach + 1} cells around each; use --set neighbours={fits}, a larger "
            "--image-size, or finer --strides"
        )
    y, x = (at.flatten() for at in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    return ((y[:, None] - y).abs() <= reach) & ((x[:, None] - x).abs() <= reach)


class EncoderLayer(nn.Module):
    """Post-norm layer: (B, n, D) tokens -> same shape; masked attention, then a small MLP.

    Args:
        width: D.
        heads: number of heads of the attention, a divisor of D.
        hidden: channels inside the MLP.
        dropout: rate of the dropout on the attention's weights, in the MLP, and before each sum.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.mlp = _mlp(width, hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, n, D), position embeddings (n, D) and mask (n, n) -> (B, n, D)."""
        seen = _attend(self.attention, tokens + places, tokens + places, tokens, mask)
        tokens = self.norms[0](tokens + self.drop(seen))
        out: Tensor = self.norms[1](tokens + self.drop(self.mlp(tokens)))
        return out


class QueryDecoderLayer(nn.Module):
    """Post-norm layer with learned queries: the layer before is only keys and values, so it is never copied.

    Each of its tokens asks by a query of its own, first the encoder's output, then the layer before.

    Args:
        width: D.
        heads: number of heads of both attentions, a divisor of D.
        hidden: channels inside the MLP.
        dropout: as in :class:`EncoderLayer`.
        grid: cells of the grid, one query each.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.queries = nn.Parameter(torch.randn(grid[0] * grid[1], width))
        self.to_memory = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.to_before = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.mlp = _mlp(width, hidden, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, before: Tensor, memory: Tensor, grid: tuple[int, int], places: Tensor, mask: Tensor
    ) -> Tensor:
        """Rebuild the tokens.

        Args:
            before: (B, n, D) output of the layer before.
            memory: (B, n, D) output of the encoder.
            grid: cells of the grid of these tokens.
            places: (n, D) position embeddings.
            mask: (n, n) what is not seen.
        """
        tokens = self.queries_on(grid).expand_as(memory)
        for attention, seen, norm in zip(
            (self.to_memory, self.to_before), (memory, before), self.norms, strict=False
        ):
            answer = _attend(attention, tokens + places, seen + places, seen, mask)
            tokens = norm(tokens + self.drop(answer))
        out: Tensor = self.norms[2](tokens + self.drop(self.mlp(tokens)))
        return out

    def queries_on(self, grid: tuple[int, int]) -> Tensor:
        """Grid (h, w) -> its (h·w, D) queries, interpolated unless they are learned for it."""
        if grid == self.grid:
            return self.queries
        own = self.queries.T.view(1, -1, *self.grid)
        return F.interpolate(own, grid, mode="bilinear", align_corners=True)[0].flatten(1).T


def _mlp(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, width))


def _attend(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
) -> Tensor:
    """Query, key and value (B, n, D), and mask (n, n) -> (B, n, D)."""
    answer: Tensor = attention(query, key, value, attn_mask=mask, need_weights=False)[0]
    return answer.contiguous()  # a dropout draws in the order of the memory
