"""Maps of gradients: the score that they are of, and every step from the gradient to the map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from understudy.distill import saliency
from understudy.distill.cloner import Cloner
from understudy.distill.distiller import Distiller
from understudy.distill.maps import MapRecipe
from understudy.distill.saliency import CoarseMap, GradientMap, clip_slopes, discrepancy, grey_opening
from understudy.distill.teacher import Teacher
from understudy.distill.valid import valid_cells
from understudy.distill.weights import load_teacher
from understudy.types import Pair

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def pairs_of(*shapes: tuple[int, ...]) -> list[Pair]:
    return [Pair(torch.randn(3, *shape), torch.randn(3, *shape)) for shape in shapes]


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("resnet18", (4, 8, 16), "random", 32)[0]


@pytest.fixture
def distiller_with(teacher: Teacher) -> Callable[[GradientMap], Distiller]:
    def make(to_map: GradientMap) -> Distiller:
        torch.manual_seed(1)
        return Distiller(teacher, Cloner(teacher.levels, signed=False), (), to_map).eval()

    return make


def test_the_discrepancy_is_that_of_whole_tensors_and_values_over_all_levels_but_the_finest() -> None:
    pairs = pairs_of((4, 8, 8), (5, 4, 4), (6, 2, 2))
    for b in range(3):
        expected = 0.0
        for t, s, _ in pairs[1:]:
            one, other = t[b].flatten().double(), s[b].flatten().double()
            expected += 1 - float(one @ other / (one.norm() * other.norm()))
            expected += 0.3 * float((one - other).square().mean())
        assert float(discrepancy(pairs, 0.3)[b]) == pytest.approx(expected, rel=1e-5)


def test_equal_features_have_no_discrepancy_and_a_multiple_differs_in_value_alone() -> None:
    pairs = pairs_of((4, 8, 8), (5, 4, 4))
    equal, twice = ([Pair(t, factor * t) for t, _, _ in pairs] for factor in (1, 2))
    assert discrepancy(equal, 0.5).tolist() == [0, 0, 0]
    assert discrepancy(twice, 0).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert discrepancy(twice, 0.5).min() > 0.1


def test_the_finest_level_has_no_part_in_the_discrepancy_unless_it_is_alone() -> None:
    fine, coarse = pairs_of((4, 8, 8), (5, 4, 4))
    other = fine._replace(student=fine.student + 1)
    assert torch.equal(discrepancy([fine, coarse], 0.5), discrepancy([other, coarse], 0.5))
    assert not torch.equal(discrepancy([fine], 0.5), discrepancy([other], 0.5))


def test_cells_that_do_not_count_have_no_part_in_the_discrepancy() -> None:
    (pair,) = pairs_of((4, 6, 6))
    valid = torch.ones(3, 1, 6, 6)
    valid[:, :, 4:] = 0
    cut = Pair(pair.teacher[:, :, :4], pair.student[:, :, :4])
    torch.testing.assert_close(discrepancy([pair._replace(valid=valid)], 0.5), discrepancy([cut], 0.5))


def test_slopes_are_clipped_between_the_lowest_and_the_99th_percentile_of_each_picture() -> None:
    slopes = torch.rand(3, 1, 20, 30) * torch.tensor([1.0, 5.0, 0.1])[:, None, None, None] + 2
    for found, one in zip(clip_slopes(slopes)[:, 0].numpy(), slopes[:, 0].numpy(), strict=True):
        low, high = one.min(), np.percentile(one, 99)
        np.testing.assert_allclose(found, np.clip((one - low) / (high - low), 0, 1), atol=1e-5)
    assert clip_slopes(torch.ones(1, 1, 4, 4)).tolist() == torch.zeros(1, 1, 4, 4).tolist()


def test_the_opening_is_the_grey_opening_by_a_cross() -> None:
    maps = torch.rand(2, 1, 17, 23)
    for found, one in zip(grey_opening(maps)[:, 0].numpy(), maps[:, 0].numpy(), strict=True):
        np.testing.assert_array_equal(found, ndimage.grey_opening(one, footprint=CROSS))


@pytest.mark.parametrize("threshold", [0.35, 0.5, 0.65, 0.8])
def test_a_threshold_before_the_opening_gives_what_one_after_it_gives(threshold: float) -> None:
    maps = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 50)), 1.5).astype(np.float32)
    maps = (maps - maps.min()) / np.ptp(maps)
    after = grey_opening(torch.from_numpy(maps)[None, None])[0, 0].numpy() >= threshold
    before = ndimage.binary_opening(maps >= threshold, CROSS)
    # In scipy's binary opening what lies outside is background; here it is no part of the picture.
    np.testing.assert_array_equal(after[2:-2, 2:-2], before[2:-2, 2:-2])
    assert 0 < after.sum() < (maps >= threshold).sum()


def test_ignored_pixels_have_no_part_in_the_opening() -> None:
    one, other = torch.rand(2, 1, 1, 12, 12).unbind()
    valid = torch.ones(1, 1, 12, 12)
    valid[..., 7:, :] = 0
    mixed = torch.where(valid > 0, one, 100 * other)
    found = grey_opening(mixed, valid)
    np.testing.assert_array_equal(found[..., :7, :], grey_opening(one[..., :7, :]))
    assert not found[..., 7:, :].any()
    assert not grey_opening(one, 0 * valid).any()


def literal_map(distiller: Distiller, images: Tensor, value: float, sigma: float) -> np.ndarray:
    """The paper's map of one picture, step by step."""
    given = images.clone().requires_grad_()
    features = distiller.teacher.backbone(given)
    own = [pair.student for pair in distiller.student(given, features)]
    score = torch.zeros(())
    for t, s in list(zip(features, own, strict=True))[1:]:
        score = score + 1 - nn.functional.cosine_similarity(t.flatten(1), s.flatten(1)).sum()
        score = score + value * (t - s).square().mean()
    score.backward()
    assert given.grad is not None
    g = given.grad[0].abs().sum(0).numpy()
    g = np.clip((g - g.min()) / (np.percentile(g, 99) - g.min()), 0, 1)
    return ndimage.grey_opening(ndimage.gaussian_filter(g, sigma), footprint=CROSS)


def test_the_map_is_the_opened_smoothed_gradient_through_both_networks(
    distiller_with: Callable[[GradientMap], Distiller],
) -> None:
    distiller = distiller_with(GradientMap(value=0.5, sigma=2.0))
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        maps, scores = distiller.score(images)
        again = distiller(images)
        alone = distiller(images[1:])
    assert torch.equal(maps, again)
    torch.testing.assert_close(alone, maps[1:])
    assert maps.min() >= 0
    assert maps.max() <= 1
    torch.testing.assert_close(scores, discrepancy(distiller.pairs(images), 0.5))
    assert all(p.grad is None for p in distiller.parameters())
    for image, found in zip(images, maps, strict=True):
        literal = literal_map(distiller, image[None], 0.5, 2.0)
        np.testing.assert_allclose(found[0].numpy(), literal, atol=1e-3)


def test_noisy_copies_are_the_same_for_a_picture_in_any_batch_and_without_noise_give_its_own_map(
    distiller_with: Callable[[GradientMap], Distiller], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randn(2, 3, 32, 32)
    smooth = distiller_with(GradientMap(value=0.5, copies=3, scaled=True))
    plain = distiller_with(GradientMap(value=0.5, scaled=True))(images)
    monkeypatch.setattr(saliency, "_NOISE", 3.0)
    noisy = smooth(images)
    assert torch.equal(noisy, smooth(images))
    torch.testing.assert_close(noisy[1:], smooth(images[1:]))
    assert (noisy - plain).abs().max() > 0.05
    monkeypatch.setattr(saliency, "_NOISE", 0.0)
    torch.testing.assert_close(smooth(images), plain)


def test_the_noise_is_the_smaller_the_more_contrast_a_picture_has(monkeypatch: pytest.MonkeyPatch) -> None:
    flat, strong = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    strong[0, 0, 0, 0] = 2.0
    (copy,) = GradientMap(value=0.5, copies=1)._copies(torch.cat([flat, strong]))
    noise = (copy - torch.cat([flat, strong])).flatten(1).std(1)
    assert noise.tolist() == pytest.approx([0.05**2, (0.05 / 2) ** 2], rel=0.05)


def test_ignored_pixels_change_no_other_and_have_the_lowest_value(
    distiller_with: Callable[[GradientMap], Distiller],
) -> None:
    distiller, images = distiller_with(GradientMap(value=0.5, sigma=1.0)), torch.randn(3, 3, 32, 32)
    valid = torch.ones(3, 1, 32, 32)
    valid[0, :, 20:], valid[1, :, :, :6], valid[2] = 0, 0, 0
    found = distiller(images * valid, valid)
    assert found.isfinite().all()
    for b in range(2):
        counting = found[b][valid[b] > 0]
        assert float(counting.max()) > float(counting.min())
        assert (found[b][valid[b] == 0] == counting.min()).all()
    assert not found[2].any()
    everything = torch.ones_like(valid)
    torch.testing.assert_close(distiller(images, everything), distiller(images))


def test_the_map_of_the_features_is_a_sum_of_the_coarse_levels_and_has_the_same_score() -> None:
    pairs = pairs_of((4, 8, 8), (5, 4, 4), (6, 2, 2))
    recipe, valid = MapRecipe(sigma=1.0), torch.ones(3, 1, 16, 16)
    valid[:, :, :5] = 0
    pairs = [pair._replace(valid=valid_cells(valid, pair.teacher.shape[2:])) for pair in pairs]
    coarse = CoarseMap(value=0.5, recipe=recipe)
    assert torch.equal(coarse(pairs, (16, 16), valid), recipe(pairs[1:], (16, 16), valid))
    assert torch.equal(coarse(pairs[:1], (16, 16), valid), recipe(pairs[:1], (16, 16), valid))
    assert torch.equal(coarse.score_of_pairs(pairs), discrepancy(pairs, 0.5))
