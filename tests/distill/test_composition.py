"""A composition says how often each kind of cell occurs in a picture, and in each of its quarters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.composition import Composition, kmeans
from understudy.runtime.usual_composition import CODES
from understudy.types import Features

K, D = CODES, 8


def _features(seed: int = 0, batch: int = 3, side: int = 8) -> Features:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, d, side, side, generator=g) for d in (5, 3)]


def _cells(features: Features) -> Tensor:
    return torch.cat(features, 1).flatten(2).transpose(1, 2).flatten(0, 1)


def _filled(*products: Features) -> Composition:
    composition = Composition()
    composition.fill([(_cells(f), F.normalize(f[-1].mean((2, 3)), dim=1)) for f in products])
    return composition


def _of_whole(described: Tensor) -> Tensor:
    return described[:, :K]


def _of_quarters(described: Tensor) -> Tensor:
    return described[:, K : 5 * K].reshape(-1, 4, K)


def _of_means(described: Tensor) -> Tensor:
    return described[:, 5 * K :]


def _quarters(level: Tensor) -> list[Tensor]:
    return [half for row in level.chunk(2, 2) for half in row.chunk(2, 3)]


def test_shares_are_those_of_a_count_by_hand() -> None:
    composition, seen = _filled(_features()), _features(1)

    described = composition(seen)

    known = _cells(_features())
    cells = (torch.cat(seen, 1) - known.mean(0)[:, None, None]) / known.std(0, correction=0)[:, None, None]
    for picture, own in zip(cells, described, strict=True):
        away = torch.cdist(picture.flatten(1).T[None], composition.codes)[0]
        nearest = away.argmin(1).view(8, 8)
        parts = [nearest, nearest[:4, :4], nearest[:4, 4:], nearest[4:, :4], nearest[4:, 4:]]
        shares = [torch.bincount(p.flatten(), minlength=K) / p.numel() for p in parts]
        assert torch.allclose(own, torch.cat([*shares, picture.mean((1, 2))]), atol=1e-5)


def test_the_shares_of_the_picture_and_of_each_quarter_sum_to_one() -> None:
    described = _filled(_features())(_features(1))

    assert described.shape == (3, 5 * K + D)
    assert torch.allclose(_of_whole(described).sum(1), torch.ones(3))
    assert torch.allclose(_of_quarters(described).sum(2), torch.ones(3, 4))


def test_shuffled_cells_change_the_quarters_alone() -> None:
    composition, seen = _filled(_features()), _features(1)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = [level.flatten(2)[..., order].view_as(level) for level in seen]

    before, after = composition(seen), composition(shuffled)

    assert torch.allclose(_of_whole(before), _of_whole(after))
    assert torch.allclose(_of_means(before), _of_means(after), atol=1e-5)
    assert not torch.allclose(_of_quarters(before), _of_quarters(after))


def test_quarters_that_change_places_change_the_quarters_alone() -> None:
    composition, seen = _filled(_features()), _features(1)
    swapped = []
    for level in seen:
        a, b, c, d = _quarters(level)
        swapped.append(torch.cat([torch.cat([d, b], 3), torch.cat([c, a], 3)], 2))

    before, after = composition(seen), composition(swapped)

    assert torch.allclose(_of_whole(before), _of_whole(after))
    assert torch.allclose(_of_quarters(before)[:, [3, 1, 2, 0]], _of_quarters(after))


@pytest.mark.parametrize("side", [1, 3, 5, 7])
def test_a_cell_in_the_middle_of_an_odd_grid_counts_by_halves(side: int) -> None:
    composition = _filled(_features())

    described = composition(_features(1, side=side))

    assert torch.allclose(_of_quarters(described).mean(1), _of_whole(described), atol=1e-6)
    assert torch.allclose(_of_quarters(described).sum(2), torch.ones(3, 4))


def test_fewer_cells_than_codes_leave_codes_that_never_occur() -> None:
    few = [level[:1, :, :1, :2] for level in _features()]

    described = _filled(few)(_features(1))

    assert torch.isfinite(described).all()
    assert (described[:, 2:K] == 0).all()


def test_cells_that_do_not_count_are_in_no_share() -> None:
    composition, seen = _filled(_features()), _features(1)
    valid = torch.ones(3, 1, 32, 32)
    valid[..., :16] = 0
    altered = [torch.cat([level[..., :4] + 9, level[..., 4:]], 3) for level in seen]

    before, after = composition(seen, valid), composition(altered, valid)

    quarters = _of_quarters(before)
    assert torch.equal(quarters[:, [0, 2]], torch.zeros(3, 2, K))
    assert torch.allclose(_of_whole(before), quarters[:, [1, 3]].mean(1))
    assert torch.equal(_of_quarters(after)[:, [1, 3]], quarters[:, [1, 3]])
    assert torch.allclose(_of_means(before), _of_means(after), atol=1e-5)


def test_a_product_has_the_same_codes_whatever_other_products_there_are() -> None:
    one, other = _features(0), [level + 3 for level in _features(2)]
    alone, together = _filled(one), _filled(one, other)

    assert torch.equal(alone.codes[0], together.codes[0])
    assert torch.equal(alone(one), together(one))
    assert torch.equal(_filled(other)(other), together(other))


def test_a_saved_composition_loads_into_an_empty_one() -> None:
    composition, fresh = _filled(_features(), _features(1)), Composition()
    assert not fresh.filled

    fresh.load_state_dict(composition.state_dict())

    assert fresh.filled
    assert torch.equal(fresh(_features(9)), composition(_features(9)))


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_finds_groups_that_lie_apart(seed: int) -> None:
    means = 10 * torch.eye(8)[:4]
    points = means.repeat(100, 1) + torch.randn(400, 8, generator=torch.Generator().manual_seed(seed))

    found = kmeans(points, 4)

    assert torch.cdist(means, found).amin(1).max() < 1
    assert torch.equal(found, kmeans(points, 4))
    assert torch.equal(kmeans(points[:3], 4), points[:3])
