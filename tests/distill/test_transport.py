"""Optimal transport: what a Sinkhorn divergence must fulfil, and RD++'s two readings of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from understudy.distill.transport import partner_transport, sinkhorn_divergence


@pytest.mark.parametrize("batch", [2, 3, 8])
@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_the_releases_term_is_zero_in_value_and_gradient_whatever_the_batch(batch: int, scale: float) -> None:
    """It compares a set of rows with the same rows in another order."""
    features = (scale * torch.randn(batch, 4, 6, 6)).requires_grad_()
    rows = features.flatten(1).softmax(1)
    value = sinkhorn_divergence(rows[None], rows[torch.randperm(batch)][None]).sum()
    (gradient,) = torch.autograd.grad(value, features)
    assert value.abs() < 1e-6
    assert gradient.abs().max() < 1e-6


def test_two_points_are_half_their_squared_distance_apart() -> None:
    x, y = torch.tensor([[[0.3, 0.4]]]), torch.tensor([[[-0.5, 0.1]]])
    assert sinkhorn_divergence(x, y).item() == pytest.approx(0.5 * (0.8**2 + 0.3**2), rel=1e-4)


def test_with_little_blur_it_is_the_cheapest_way_to_match_the_points() -> None:
    """On a line, sorted points match."""
    x, y = torch.rand(4, 7, 1, dtype=torch.float64), torch.rand(4, 7, 1, dtype=torch.float64)
    found = sinkhorn_divergence(x, y, blur=0.01, diameter=1.0, scaling=0.95)
    expected = 0.5 * (x.sort(1).values - y.sort(1).values).square().mean((1, 2))
    torch.testing.assert_close(found, expected, rtol=0.03, atol=2e-4)


def test_it_is_symmetric_never_negative_and_zero_for_equal_sets() -> None:
    x, y = torch.randn(5, 9, 3), torch.randn(5, 6, 3)
    x, y = (torch.nn.functional.normalize(each, dim=2) for each in (x, y))
    there, back = sinkhorn_divergence(x, y), sinkhorn_divergence(y, x)
    torch.testing.assert_close(there, back, rtol=1e-4, atol=1e-5)
    assert (there > 0).all()
    order = torch.randperm(9)
    torch.testing.assert_close(sinkhorn_divergence(x, x[:, order]), torch.zeros(5), rtol=0, atol=1e-5)


def test_a_weight_counts_as_so_many_points_and_a_weight_of_zero_as_none() -> None:
    x, y = torch.rand(2, 3, 4), torch.rand(2, 5, 4)
    twice = torch.cat([x, x[:, :1]], 1)
    weights = torch.tensor([[0.5, 0.25, 0.25]]).expand(2, -1)
    torch.testing.assert_close(sinkhorn_divergence(x, y, weights), sinkhorn_divergence(twice, y))
    more = torch.cat([x, 9 * torch.ones(2, 1, 4)], 1)
    without = torch.cat([weights, torch.zeros(2, 1)], 1)
    torch.testing.assert_close(sinkhorn_divergence(more, y, without), sinkhorn_divergence(x, y, weights))


def test_the_gradient_is_that_of_the_value() -> None:
    torch.manual_seed(1)
    x = torch.rand(1, 4, 2, dtype=torch.float64, requires_grad=True)
    y, step = torch.rand(1, 5, 2, dtype=torch.float64), 1e-5
    (gradient,) = torch.autograd.grad(sinkhorn_divergence(x, y, blur=0.3, scaling=0.99).sum(), x)
    for i, j in ((0, 0), (2, 1)):
        ends = []
        for sign in (1, -1):
            moved = x.detach().clone()
            moved[0, i, j] += sign * step
            ends.append(sinkhorn_divergence(moved, y, blur=0.3, scaling=0.99).item())
        assert gradient[0, i, j].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02, abs=2e-4)


def literal_points(one: Tensor, square: int) -> Tensor:
    """(D, H, W) -> (n, D): vectors of length one, averaged over squares of so many cells a side."""
    unit = one / one.norm(dim=0)
    return unit.unfold(1, square, square).unfold(2, square, square).mean((3, 4)).flatten(1).T


@pytest.mark.parametrize("side", [4, 16, 32])
def test_pictures_are_compared_with_their_partners_as_sets_of_unit_vectors(side: int) -> None:
    features = torch.randn(3, 5, side, side)
    found = partner_transport(features, 2)
    points = [literal_points(one, max(1, side // 16)) for one in features]
    apart = [sinkhorn_divergence(points[b][None], points[(b + 2) % 3][None]) for b in range(3)]
    torch.testing.assert_close(found, torch.cat(apart).mean())


def test_a_picture_moved_by_whole_cells_is_no_further_from_its_partner() -> None:
    one = torch.randn(1, 5, 8, 8)
    moved = torch.cat([one, one.roll((3, 2), (2, 3))])
    assert partner_transport(moved, 1).abs() < 1e-5
    assert partner_transport(torch.cat([one, torch.randn(1, 5, 8, 8)]), 1) > 1e-2


@pytest.mark.parametrize("side", [8, 32])
def test_only_cells_that_count_are_points(side: int) -> None:
    features, valid = torch.randn(2, 5, side, side), torch.ones(2, 1, side, side)
    valid[0, :, side // 2 :] = 0
    counting = features[0, :, : side // 2], features[1]
    one, other = (literal_points(each, max(1, side // 16))[None] for each in counting)
    expected = torch.cat([sinkhorn_divergence(one, other), sinkhorn_divergence(other, one)]).mean()
    features[0, :, side // 2 :] = math.nan
    torch.testing.assert_close(partner_transport(features, 1, valid), expected, rtol=1e-4, atol=1e-6)


def test_a_picture_of_which_nothing_counts_adds_nothing_and_no_gradient() -> None:
    features = torch.randn(3, 5, 4, 4, requires_grad=True)
    valid = torch.ones(3, 1, 4, 4)
    valid[1] = 0
    found = partner_transport(features, 1, valid)
    (gradient,) = torch.autograd.grad(found, features)
    assert gradient.isfinite().all()
    assert not gradient[1].any()
    with torch.no_grad():
        alone = partner_transport(features[[2, 0]], 1)
    torch.testing.assert_close(found.detach(), alone / 3)
    assert partner_transport(features, 1, 0 * valid) == 0
