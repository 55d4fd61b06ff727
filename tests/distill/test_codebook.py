"""A codebook compares each cell with the centres of the product that the picture shows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.codebook import Codebook, spherical_kmeans, stack_levels
from understudy.types import Features


def _unit(n: int, width: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(n, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def _features(seed: int = 0, batch: int = 2) -> Features:
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, d, side, side, generator=g) for d, side in ((3, 8), (5, 4), (7, 2))]


def _cells(features: Features) -> Tensor:
    return stack_levels(features, 1).flatten(2).transpose(1, 2).flatten(0, 1)


def _embeddings(features: Features) -> Tensor:
    return F.normalize(features[-1].mean((2, 3)), dim=1)


def _filled(*products: Features, centres: int = 64) -> Codebook:
    codebook = Codebook(centres, 1)
    codebook.fill([(_cells(f), _embeddings(f)) for f in products])
    return codebook


def _keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every cell be a centre."""
    monkeypatch.setattr("understudy.distill.codebook._CELLS_EACH", 1)


def test_levels_meet_on_one_grid_and_each_cell_has_length_one() -> None:
    stacked = stack_levels(_features(), 1)

    assert stacked.shape == (2, 15, 4, 4)
    assert torch.allclose(stacked.norm(dim=1), torch.ones(2, 4, 4))


def test_a_finer_level_is_averaged_and_a_coarser_one_interpolated() -> None:
    fine, middle, coarse = _features()

    stacked = stack_levels([fine, middle, coarse], 1) * 3**0.5

    assert torch.allclose(stacked[:, :3], F.normalize(F.avg_pool2d(fine, 2), dim=1), atol=1e-6)
    assert torch.allclose(stacked[:, 3:8], F.normalize(middle, dim=1), atol=1e-6)
    enlarged = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    assert torch.allclose(stacked[:, 8:], F.normalize(enlarged, dim=1), atol=1e-6)


def test_cells_that_are_all_kept_have_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    _keep_all(monkeypatch)
    good = _features()

    assert _filled(good)(good).abs().max() < 1e-5


def test_the_distance_is_that_of_a_brute_force_search() -> None:
    codebook, seen = _filled(_features(1, batch=40), centres=9), _features(5)

    distance = codebook(seen)

    cells, centres = _cells(seen), codebook.centres[0]
    expected = torch.stack([torch.stack([1 - cell @ c for c in centres]).min() for cell in cells])
    assert distance.shape == (2, 1, 4, 4)
    assert torch.allclose(distance.flatten(), expected, atol=1e-6)


def test_a_picture_is_compared_with_its_own_product_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _keep_all(monkeypatch)
    one, other = _features(1), _features(2)
    for level in other:
        level += 3  # a product that looks different
    codebook = _filled(one, other)
    part = [level.clone() for level in other]
    part[1][:, :, 0, 0] = one[1][:, :, 0, 0]  # a cell that is good on the other product

    distance = codebook(part)[:, 0]

    assert distance[:, 0, 0].min() > 0.01
    assert distance.flatten(1)[:, 5:].max() < 1e-5


def test_a_product_is_recognised_by_any_of_its_faces() -> None:
    codebook = Codebook(1)
    faces = [torch.eye(4)[:2], torch.eye(4)[2:]]
    codebook.fill(zip([_unit(1, 6, 0), _unit(1, 6, 1)], faces, strict=True))

    for at, product in enumerate((0, 0, 1, 1)):
        features = [torch.ones(1, 2, 1, 1), torch.eye(4)[at].view(1, 4, 1, 1)]
        own = codebook.cells(features).flatten() @ codebook.centres[product][0]
        assert torch.allclose(codebook(features).flatten(), 1 - own)


def test_both_maps_of_good_pictures_weigh_the_same() -> None:
    codebook, g = _filled(_features(batch=40), centres=4), torch.Generator().manual_seed(0)
    students, features = 100 + 50 * torch.rand(2, 1, 32, 32, generator=g), _features(7)
    both = torch.stack([m.double().flatten() for m in (students, codebook.to_map(features, (32, 32)))])
    codebook.fit_scales(torch.stack([torch.full((2,), 2048.0), both.sum(1), both.square().sum(1)], 1))

    mean = codebook.beside(students, features).double().flatten()

    scaled = (both - both.mean(1, keepdim=True)) / both.std(1, unbiased=False, keepdim=True)
    assert torch.allclose(mean, scaled.mean(0), atol=1e-4)


def test_a_constant_map_is_not_scaled() -> None:
    codebook = Codebook(2)
    codebook.fit_scales(torch.tensor([[10.0, 20.0, 40.0], [10.0, 0.0, 10.0]], dtype=torch.float64))

    assert codebook.shift.tolist() == [2, 0]
    assert codebook.scale.tolist() == [1, 1]


def test_ignored_pixels_change_no_other_and_get_the_lowest_value() -> None:
    codebook, features = _filled(_features(), centres=4), _features(3)
    valid = torch.ones(2, 1, 32, 32)
    valid[..., :16] = 0
    students = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    students[..., :16] = 0
    altered = [level.clone() for level in features]
    altered[1][..., 0] += 5

    before, after = (codebook.beside(students, f, valid) for f in (features, altered))

    assert torch.allclose(before[..., 16:], after[..., 16:], atol=1e-5)
    lowest = before[..., 16:].amin((1, 2, 3), keepdim=True)
    assert torch.equal(before[..., :16], lowest.expand(2, 1, 32, 16))


def test_a_saved_codebook_loads_into_an_empty_one() -> None:
    codebook, fresh = _filled(_features(), _features(1), centres=5), Codebook(5, 1)
    assert not fresh.filled

    fresh.load_state_dict(codebook.state_dict())

    assert fresh.filled
    assert torch.equal(fresh(_features(9)), codebook(_features(9)))


def test_many_cells_share_a_centre_and_the_rest_of_the_centres_are_repeated() -> None:
    codebook = Codebook(5)
    cells = [_unit(150, 6), _unit(5000, 6)]

    codebook.fill(zip(cells, [_unit(1, 3), _unit(1, 3, 1)], strict=True))

    assert codebook.centres.shape == (2, 5, 6)
    assert torch.equal(codebook.centres[0], spherical_kmeans(cells[0], 2)[[0, 1, 0, 1, 0]])
    assert torch.equal(codebook.centres[1], spherical_kmeans(cells[1], 5))


def test_new_pictures_of_a_product_with_few_are_hardly_farther_than_learned_ones() -> None:
    learned, new = _unit(1024, 6, 0), _unit(1024, 6, 1)
    codebook = Codebook(300)
    codebook.fill([(learned, _unit(1, 3))])

    near, far = (1 - (each @ codebook.centres[0].T).amax(1).mean() for each in (learned, new))

    assert near > 0.75 * far


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_finds_groups_that_lie_apart(seed: int) -> None:
    means = torch.eye(8)[:4]
    points = F.normalize(means.repeat(100, 1) + 0.05 * _unit(400, 8, seed), dim=1)

    centres = spherical_kmeans(points, 16)

    assert torch.allclose(centres.norm(dim=1), torch.ones(16), atol=1e-5)
    assert (means @ centres.T).amax(1).min() > 0.99
    assert torch.equal(centres, spherical_kmeans(points, 16))
