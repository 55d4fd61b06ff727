"""Attention without neighbours: its mask, the layers in the paper's formulas, and what can reach what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.neighbours import EncoderLayer, QueryDecoderLayer, neighbour_mask
from understudy.errors import InputError

WIDTH, HEADS, HIDDEN, GRID, SIDE = 8, 2, 12, (5, 6), 3
N = GRID[0] * GRID[1]


def around(cell: int, grid: tuple[int, int], reach: int) -> set[int]:
    """Cells of the square around one, that one too."""
    y, x = divmod(cell, grid[1])
    return {
        v * grid[1] + u
        for v in range(max(0, y - reach), min(grid[0], y + reach + 1))
        for u in range(max(0, x - reach), min(grid[1], x + reach + 1))
    }


def test_the_papers_mask_is_symmetric_and_hides_49_cells_in_the_middle_and_16_in_a_corner() -> None:
    mask = neighbour_mask((14, 14), 7)
    assert mask.equal(mask.T)
    assert (int(mask[7 * 14 + 7].sum()), int(mask[0].sum()), int(mask[-1].sum())) == (49, 16, 16)
    assert mask.diagonal().all()


@pytest.mark.parametrize(("side", "reach"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_a_mask_hides_the_square_around_each_cell_of_any_grid(side: int, reach: int) -> None:
    mask = neighbour_mask(GRID, side)
    for cell in range(N):
        assert {int(i) for i in mask[cell].nonzero()} == around(cell, GRID, reach)
    assert not neighbour_mask(GRID, 0).any()


@pytest.mark.parametrize(
    ("grid", "side", "fits"), [((7, 7), 7, 5), ((7, 7), 6, 5), ((4, 4), 7, 3), ((2, 3), 3, 1), ((1, 1), 1, 0)]
)
def test_a_grid_that_is_hidden_from_its_middle_is_refused_with_a_square_that_fits(
    grid: tuple[int, int], side: int, fits: int
) -> None:
    with pytest.raises(InputError, match=rf"middle of {grid[0]} x {grid[1]} cells.*neighbours={fits},"):
        neighbour_mask(grid, side)
    assert not neighbour_mask(grid, fits).all(1).any()


@pytest.mark.parametrize("grid", [(7, 8), (8, 7), (8, 1)])
def test_one_long_side_is_enough(grid: tuple[int, int]) -> None:
    assert not neighbour_mask(grid, 7).all(1).any()


def literal(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor
) -> Tensor:
    """Each token of each head as a mean over those that it sees, and over these alone."""
    q, k, v = (
        x @ weight.T + bias
        for x, weight, bias in zip(
            (query, key, value),
            attention.in_proj_weight.chunk(3),
            attention.in_proj_bias.chunk(3),
            strict=True,
        )
    )
    out = torch.zeros_like(q)
    each = WIDTH // HEADS
    for i in range(N):
        seen = (~mask[i]).nonzero()[:, 0]
        for h in range(HEADS):
            part = slice(h * each, (h + 1) * each)
            share = (q[:, i, None, part] * k[:, seen, part]).sum(2).div(each**0.5).softmax(1)
            out[:, i, part] = (share[:, :, None] * v[:, seen, part]).sum(1)
    return attention.out_proj(out)


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    less = x - x.mean(2, keepdim=True)
    return less / (less.square().mean(2, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def mlp(layers: nn.Sequential, x: Tensor) -> Tensor:
    first, last = layers[0], layers[3]
    return F.linear(F.linear(x, first.weight, first.bias).clamp(min=0), last.weight, last.bias)


def shaken(layer: nn.Module) -> nn.Module:
    """In eval mode, with no weight at a value that hides it."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer.double().eval()


@torch.no_grad()
def test_a_layer_of_the_encoder_is_the_formula() -> None:
    layer = shaken(EncoderLayer(WIDTH, HEADS, HIDDEN, 0.1))
    s, places = torch.randn(2, N, WIDTH).double(), torch.randn(N, WIDTH).double()
    mask = neighbour_mask(GRID, SIDE)
    found = layer(s, places, mask)
    s = norm(layer.norms[0], s + literal(layer.attention, s + places, s + places, s, mask))
    torch.testing.assert_close(found, norm(layer.norms[1], s + mlp(layer.mlp, s)))


@torch.no_grad()
def test_a_layer_of_the_decoder_is_the_formula() -> None:
    layer = shaken(QueryDecoderLayer(WIDTH, HEADS, HIDDEN, 0.1, GRID))
    before, m = torch.randn(2, 2, N, WIDTH).double()
    places, mask = torch.randn(N, WIDTH).double(), neighbour_mask(GRID, SIDE)
    found = layer(before, m, GRID, places, mask)
    u = layer.queries.expand(2, -1, -1)
    u = norm(layer.norms[0], u + literal(layer.to_memory, u + places, m + places, m, mask))
    u = norm(layer.norms[1], u + literal(layer.to_before, u + places, before + places, before, mask))
    torch.testing.assert_close(found, norm(layer.norms[2], u + mlp(layer.mlp, u)))


def test_a_token_is_rebuilt_from_those_outside_of_its_square_alone() -> None:
    layer = shaken(QueryDecoderLayer(WIDTH, HEADS, HIDDEN, 0.1, GRID))
    tokens = torch.randn(1, N, WIDTH).double().requires_grad_()
    places, mask = torch.randn(N, WIDTH).double(), neighbour_mask(GRID, SIDE)
    out = layer(tokens, tokens, GRID, places, mask)
    direction = torch.randn(WIDTH).double()
    for i in range(N):
        (slope,) = torch.autograd.grad(out[0, i] @ direction, tokens, retain_graph=True)
        reached = {int(j) for j in slope[0].abs().sum(1).nonzero()}
        assert reached == set(range(N)) - around(i, GRID, 1)


def test_a_query_never_sees_another_one() -> None:
    layer = shaken(QueryDecoderLayer(WIDTH, HEADS, HIDDEN, 0.1, GRID))
    tokens = torch.randn(1, N, WIDTH).double()
    out = layer(tokens, tokens, GRID, torch.randn(N, WIDTH).double(), neighbour_mask(GRID, SIDE))
    (slope,) = torch.autograd.grad(out[0, 7].square().sum(), layer.queries)
    assert [int(j) for j in slope.abs().sum(1).nonzero()] == [7]


def test_dropout_is_on_the_weights_in_the_mlp_and_before_each_sum_and_in_training_alone() -> None:
    layer = EncoderLayer(WIDTH, HEADS, HIDDEN, 0.4)
    assert layer.attention.dropout == layer.drop.p == layer.mlp[2].p == 0.4
    tokens, places, mask = torch.randn(1, N, WIDTH), torch.randn(N, WIDTH), neighbour_mask(GRID, SIDE)
    assert not torch.equal(layer(tokens, places, mask), layer(tokens, places, mask))
    layer.eval()
    assert torch.equal(layer(tokens, places, mask), layer(tokens, places, mask))
