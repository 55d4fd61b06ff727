from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from understudy.distill.maps import MapRecipe, euclidean_distance, gaussian_blur
from understudy.types import Pair


@pytest.mark.parametrize("size", [(40, 30), (5, 3), (1, 1)])
@pytest.mark.parametrize("sigma", [4.0, 1.3])
def test_smoothing_equals_scipys_gaussian(size: tuple[int, int], sigma: float) -> None:
    anomaly_map = torch.rand(1, 1, *size)
    literal = ndimage.gaussian_filter(anomaly_map[0, 0].numpy(), sigma)
    assert np.allclose(gaussian_blur(anomaly_map, sigma)[0, 0].numpy(), literal, atol=1e-5)


def test_a_product_of_levels_is_taken_on_the_coarser_grid_and_then_enlarged() -> None:
    levels = [Pair(torch.randn(2, 4, s, s), torch.randn(2, 4, s, s)) for s in (8, 4, 2)]
    recipe = MapRecipe(feature=2.0, combine="product", sigma=0, shrink=4, align_corners=False)
    work = torch.ones(2, 1, 8, 8)
    for pair in levels:
        level = (F.normalize(pair.teacher) - F.normalize(pair.student)).square().sum(1, keepdim=True)
        work = work * F.interpolate(level, (8, 8), mode="bilinear", align_corners=False)
    expected = F.interpolate(work, (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(recipe(levels, (32, 32)), expected, rtol=1e-4, atol=1e-6)


def test_the_euclidean_map_is_the_length_of_the_error_of_each_cell_that_counts() -> None:
    levels = [Pair(torch.randn(2, 4, 5, 3), torch.randn(2, 4, 5, 3))]
    valid = torch.ones(len(levels[0].teacher), 1, *levels[0].teacher.shape[2:])
    valid[0, :, 0] = 0
    expected = (levels[0].teacher - levels[0].student).square().sum(1, keepdim=True).sqrt()
    found = euclidean_distance(levels[0]._replace(valid=valid))
    torch.testing.assert_close(found, expected * valid)
    plain = MapRecipe(distance="euclidean", feature=0.5, sigma=0)
    torch.testing.assert_close(plain([levels[0]], tuple(valid.shape[2:])), 0.5 * expected)


@pytest.mark.parametrize("size", [(32, 40), (16, 16), (9, 20)])
def test_a_pooled_score_is_that_of_a_constant_map_and_thins_out_a_single_pixel(size: tuple[int, int]) -> None:
    pooled = MapRecipe(pool=16)
    assert pooled.score(torch.full((2, 1, *size), 3.5)).tolist() == pytest.approx([3.5, 3.5])
    hot = torch.zeros(1, 1, *size)
    hot[0, 0, 4, 7] = 512.0
    assert pooled.score(hot).item() == pytest.approx(512 / (min(16, size[0]) * min(16, size[1])))
    assert MapRecipe().score(hot).item() == 512
