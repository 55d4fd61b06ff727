"""Every method with pixels that do not count: its maps, losses and gradients have nothing of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from understudy.distill.affinity import affinity_map, contextual_distance
from understudy.distill.distiller import Distiller
from understudy.distill.ensemble import EnsembleMap
from understudy.distill.fusion import ContextualMap, Fusion
from understudy.distill.losses import cosine_distance
from understudy.distill.maps import MapRecipe, euclidean_distance, image_score
from understudy.distill.saliency import CoarseMap
from understudy.distill.teacher import Teacher
from understudy.distill.valid import valid_cells
from understudy.distill.weights import load_teacher
from understudy.methods import METHODS, build, settings_for
from understudy.types import Pair

B, SIZE = 3, (32, 32)
_TRANSFORMER = Teacher("test_vit", (16, 16), 32)

READINGS: dict[str, list[dict[str, object]]] = {
    "stpm": [{}, {"half": True, "combine": "sum", "smoothing": 1.5}],
    "rd": [{}, {"cosine": "local", "smoothing": 0}],
    "snl-fd": [{"affinity_form": "abs", "affinity_map_form": "abs", "affinity_norm": "map"}],
    "snl-rd": [{}, {"affinity_map_form": "squared", "affinity_norm": "tensor", "combine": "product"}],
    "dskd": [{}, {"against": "teacher", "measure": "kl", "global_cosine": 0.5, "lambda_cosine": 2.0}],
    "dinomaly": [{}, {"easy_share": 0, "smoothing": 0}],
    "uniad": [{"neighbours": 3}, {"neighbours": 3, "smoothing": 1.5}],  # for four cells along a side
    "rdpp": [{}, {"transport": "pairs", "smoothing": 1.5}],
    "uninformed-students": [{}, {"students": 2, "smoothing": 1.5}],
    "mkd": [{"map": "feature"}, {"map": "feature", "value": 0, "smoothing": 0}],  # others need pictures
}
every_method = pytest.mark.parametrize(
    ("method", "settings"), [(name, one) for name in METHODS for one in READINGS[name]]
)
Matrix = NDArray[np.float64]


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("resnet18", (8, 16), "random", 32)[0]


def made(method: str, settings: dict[str, object], teacher: Teacher) -> tuple[Distiller, list[Pair], Tensor]:
    """A method with scales, a pair of random features for each of its levels, and what counts."""
    alike = method == "dinomaly"  # its levels have one grid
    distiller = build(method, _TRANSFORMER if alike else teacher, settings_for(method, settings))
    students = max(term.levels.stop or 2 for term in distiller.terms) // 2
    if isinstance(distiller.to_map, Fusion):
        good = np.linspace(0.1, 0.7, 99)
        distiller.to_map.fit({name: i + good for i, name in enumerate(distiller.to_map.parts)})
    valid = torch.ones(B, 1, *SIZE)
    valid[0, :, 19:], valid[1, :, :, :5], valid[1, :, 11:21, 13:25] = 0, 0, 0
    shapes = [(B, 6, 8, 8), (B, 6, 8, 8) if alike else (B, 20, 4, 4)] * students
    pairs = [Pair(torch.randn(s), torch.randn(s), valid_cells(valid, s[2:])) for s in shapes]
    if method == "rdpp":  # features that are far apart have no contrast left
        pairs = [pair._replace(student=pair.student + pair.teacher) for pair in pairs]
    return distiller, pairs, valid


def elsewhere(pair: Pair) -> Pair:
    """The same pair with other features, and numbers that are none, where nothing counts."""
    assert pair.valid is not None
    ignored = pair.valid == 0
    drawn = [torch.where(ignored, fill, f) for f, fill in zip(pair[:2], (1e4, math.nan), strict=True)]
    return Pair(drawn[0], drawn[1], pair.valid)


@every_method
def test_no_feature_where_nothing_counts_changes_a_loss_or_has_a_gradient(
    method: str, settings: dict[str, object], teacher: Teacher
) -> None:
    distiller, pairs, _ = made(method, settings, teacher)

    def with_gradients(pairs: list[Pair]) -> tuple[dict[str, Tensor], list[Tensor | None]]:
        """Each term, and its gradient for each level that it looks at."""
        leaves = [pair.student.clone().requires_grad_() for pair in pairs]
        losses = distiller.loss([p._replace(student=s) for p, s in zip(pairs, leaves, strict=True)])
        gradients: list[Tensor | None] = []
        for loss in losses.values():
            gradients += torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        return losses, gradients

    losses, gradients = with_gradients(pairs)
    again, gradients_again = with_gradients([elsewhere(pair) for pair in pairs])
    assert losses == again
    counts = [pair.valid for pair in pairs] * len(losses)
    for valid, one, other in zip(counts, gradients, gradients_again, strict=True):
        if one is not None:
            assert torch.equal(one, other)
            felt = one.abs().amax(1, keepdim=True) > 0
            assert felt.float().equal(valid)  # every cell that counts, and no other


@torch.no_grad()
@every_method
def test_everything_counting_is_what_it_is_without_being_said(
    method: str, settings: dict[str, object], teacher: Teacher
) -> None:
    distiller, pairs, valid = made(method, settings, teacher)
    plain = [pair._replace(valid=None) for pair in pairs]
    every = [pair._replace(valid=torch.ones_like(pair.teacher[:, :1])) for pair in pairs]
    torch.testing.assert_close(
        distiller.to_map(every, SIZE, torch.ones_like(valid)), distiller.to_map(plain, SIZE)
    )
    torch.testing.assert_close(distiller.loss(every), distiller.loss(plain))


@torch.no_grad()
@every_method
def test_a_picture_of_which_nothing_counts_adds_nothing_and_disturbs_no_other(
    method: str, settings: dict[str, object], teacher: Teacher
) -> None:
    distiller, pairs, valid = made(method, settings, teacher)
    before = distiller.to_map(pairs, SIZE, valid)
    empty = torch.cat([torch.zeros_like(valid[:1]), valid[1:]])
    pairs = [pair._replace(valid=valid_cells(empty, pair.teacher.shape[2:])) for pair in pairs]
    after = distiller.to_map(pairs, SIZE, empty)
    assert torch.equal(after[1:], before[1:])
    assert after[0].isfinite().all()
    for name, loss in distiller.loss([pair._replace(valid=0 * pair.valid) for pair in pairs]).items():
        assert loss == 0, name


# Literal maps.


def weights(out: int, length: int, corners: bool) -> Matrix:
    """(out, length): how much each cell has of each pixel along one side, bilinear."""
    found = np.zeros((out, length))
    for pixel in range(out):
        place = pixel * (length - 1) / (out - 1) if corners else (pixel + 0.5) * length / out - 0.5
        place = min(max(place, 0), length - 1)
        low = min(int(place), max(length - 2, 0))
        found[pixel, low] += 1 - (place - low)
        found[pixel, min(low + 1, length - 1)] += place - low
    return found


def divided(total: Matrix, weight: Matrix) -> Matrix:
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)


def literal_enlarge(level: Matrix, valid: Matrix, size: tuple[int, int], corners: bool) -> Matrix:
    if level.shape == size:
        return level
    down, along = (weights(n, m, corners) for n, m in zip(size, level.shape, strict=True))
    return divided(down @ (level * valid) @ along.T, down @ valid @ along.T)


def level_map(to_map: MapRecipe | ContextualMap | EnsembleMap, pairs: list[Pair]) -> Tensor:
    """A level's map, of a pair without valid, or of one a student."""
    pair, *_ = pairs
    if isinstance(to_map, EnsembleMap):
        own = [each.student for each in pairs]
        mean = sum(own) / len(own)
        error = ((mean - pair.teacher) ** 2).sum(1)
        variance = sum((one**2).sum(1) for one in own) / len(own) - (mean**2).sum(1)
        return error if to_map.of == "error" else variance
    if isinstance(to_map, ContextualMap):
        contextual = contextual_distance(pair, to_map.against, to_map.measure)
        return contextual + to_map.cosine * cosine_distance(pair)
    affinity = affinity_map(pair, to_map.form, to_map.norm)
    between = cosine_distance if to_map.distance == "cosine" else euclidean_distance
    return to_map.feature * between(pair) + to_map.affinity * affinity


def filled(one: Matrix, valid: Matrix) -> Matrix:
    return np.where(valid > 0, one, one[valid > 0].min())


def literal_map(
    to_map: MapRecipe | ContextualMap | EnsembleMap, pairs: list[Pair], valid: Tensor, b: int
) -> Matrix:
    recipe = to_map if isinstance(to_map, MapRecipe) else MapRecipe(sigma=to_map.sigma)
    work = (SIZE[0] // recipe.shrink, SIZE[1] // recipe.shrink)
    levels = []
    for group in [pairs] if isinstance(to_map, EnsembleMap) else [[pair] for pair in pairs[recipe.levels]]:
        assert group[0].valid is not None
        counts = group[0].valid[b, 0].numpy() > 0
        inside = torch.from_numpy(counts)
        counting = [Pair(*(f[b][:, inside][None, :, :, None] for f in pair[:2])) for pair in group]
        level = np.zeros(counts.shape)
        level[counts] = level_map(to_map, counting).flatten().double().numpy()
        levels.append(literal_enlarge(level, counts.astype(float), work, recipe.align_corners))
    together = np.sum(levels, 0) if recipe.combine == "sum" else np.prod(levels, 0)
    whole = valid[b, 0].double().numpy()
    at_work = valid_cells(valid, work)[b, 0].double().numpy()
    large = literal_enlarge(together, at_work, SIZE, recipe.align_corners)
    if recipe.sigma:
        large = divided(
            ndimage.gaussian_filter(whole * large, recipe.sigma),
            ndimage.gaussian_filter(whole, recipe.sigma),
        )
    return filled(large, whole)


@torch.no_grad()
@every_method
def test_a_map_is_that_of_the_counting_cells_alone_and_lowest_where_nothing_counts(
    method: str, settings: dict[str, object], teacher: Teacher
) -> None:
    distiller, pairs, valid = made(method, settings, teacher)
    to_map = distiller.to_map
    found = to_map(pairs, SIZE, valid)
    for b in range(B):
        if isinstance(to_map, Fusion):
            parts = [literal_map(recipe, pairs[which], valid, b) for which, recipe in to_map.parts.values()]
            scales = zip(parts, to_map.zero.tolist(), to_map.unit.tolist(), strict=True)
            together = np.mean([(part - zero) / unit for part, zero, unit in scales], axis=0)
            literal = filled(together, valid[b, 0].numpy())
        elif isinstance(to_map, CoarseMap):
            literal = literal_map(to_map.recipe, pairs[1:], valid, b)
        else:
            literal = literal_map(to_map, pairs, valid, b)
        assert found[b, 0].numpy() == pytest.approx(literal, rel=1e-3, abs=2e-4)
        counting = found[b][valid[b] > 0]
        assert (found[b][valid[b] == 0] == counting.min()).all()
        assert image_score(found)[b] == counting.max()
    assert torch.equal(to_map([elsewhere(pair) for pair in pairs], SIZE, valid), found)


@torch.no_grad()
def test_a_fusion_is_fitted_on_pixels_that_count(teacher: Teacher) -> None:
    distiller, pairs, valid = made("dskd", {}, teacher)
    fusion = distiller.to_map
    assert isinstance(fusion, Fusion)
    maps, values = fusion.maps(pairs, SIZE, valid), fusion.values(pairs, SIZE, valid)
    for name in fusion.parts:
        assert values[name].tolist() == [
            v for v, c in zip(maps[name].flatten(), valid.flatten(), strict=True) if c
        ]
    plain = [pair._replace(valid=None) for pair in pairs]
    assert all(len(v) == B * SIZE[0] * SIZE[1] for v in fusion.values(plain, SIZE).values())


class _Mapping(nn.Module):
    """Teacher's and student's features of each level, and what counts -> map; to be exported."""

    def __init__(self, to_map: Any) -> None:
        super().__init__()
        self.to_map = to_map

    def forward(self, features: list[Tensor], valid: Tensor) -> Tensor:
        halves = zip(features[::2], features[1::2], strict=True)
        pairs = [Pair(t, s, valid_cells(valid, (t.shape[2], t.shape[3]))) for t, s in halves]
        found: Tensor = self.to_map(pairs, SIZE, valid)
        return found


@torch.no_grad()
@every_method
def test_the_graph_of_a_map_takes_any_batch_and_whatever_counts(
    method: str, settings: dict[str, object], teacher: Teacher
) -> None:
    distiller, pairs, valid = made(method, settings, teacher)
    module = _Mapping(distiller.to_map)
    features = [f for pair in pairs for f in pair[:2]]
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = ([{0: batch} for _ in features], {0: batch})
    graph = torch.export.export(module, (features, torch.ones_like(valid)), dynamic_shapes=shapes).module()
    torch.testing.assert_close(graph(features, valid), module(features, valid))
    one = ([f[:1] for f in features], valid[:1])
    torch.testing.assert_close(graph(*one), module(*one))
