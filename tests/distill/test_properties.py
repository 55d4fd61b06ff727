"""What holds for features of any shape: odd grids, levels of one pixel, batches of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any, get_args

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from understudy.distill.affinity import (
    AffinityForm,
    affinity,
    affinity_map,
    inter_affinity_distillation,
    intra_affinity_distillation,
)
from understudy.distill.cram import CRAM
from understudy.distill.losses import (
    CosineReading,
    SpatialReduction,
    SpatialScale,
    channel_distillation,
    spatial_distillation,
    squared_error,
)
from understudy.distill.maps import MapRecipe
from understudy.distill.valid import AffinityNorm, unit_vectors
from understudy.types import Pair

Shape = tuple[int, int, int, int]
ROOT = 1e-4  # the root of the mean square is taken this far off its zero

FORMS = get_args(AffinityForm)
SPATIAL = list(product(get_args(SpatialScale), (1.0, 4.0), get_args(SpatialReduction)))
AFFINITY = list(product((0, 1), FORMS, get_args(AffinityNorm)))
LOSSES: dict[str, Callable[[Pair], Tensor]] = {
    "squared": squared_error,
    **{f"cosine-{r}": lambda pair, r=r: channel_distillation(pair, r) for r in get_args(CosineReading)},
    **{
        "-".join(map(str, ("spatial", *a))): lambda pair, a=a: spatial_distillation(pair, *a) for a in SPATIAL
    },
    **{
        "-".join(map(str, ("affinity", *a))): lambda pair, a=a: inter_affinity_distillation(pair, *a)
        for a in AFFINITY
    },
}
RECIPES = [
    MapRecipe(affinity=weight, form=form, sigma=sigma)
    for weight in (0.0, 1.0)
    for form in FORMS
    for sigma in (0.0, 1.5)
] + [MapRecipe(distance="euclidean", sigma=1.5)]

SIDES = st.integers(1, 5)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES)
SEEDS = st.integers(0, 999)
FILLS = st.sampled_from([None, 0.0, 1e-3, 3.0, -2.0])  # None: random


def over_shapes(**more: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on shapes and seeds, and always on one pixel of one picture and on an odd grid."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        test = given(shape=SHAPES, seed=SEEDS, **more)(test)
        if not more:
            test = example(shape=(1, 6, 1, 1), seed=0)(example(shape=(2, 3, 5, 3), seed=0)(test))
        return settings(max_examples=25, deadline=None, derandomize=True)(test)

    return decorate


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(fill: float | None, seed: int, shape: Shape) -> Tensor:
    return draw(seed, *shape) if fill is None else torch.full(shape, fill)


def rotation(seed: int, depth: int) -> Tensor:
    turn: Tensor = torch.linalg.qr(draw(seed, depth, depth).double())[0].float()
    return turn


def turned(features: Tensor, turn: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", turn, features)


@over_shapes(fill=FILLS)
def test_losses_and_maps_are_zero_where_the_student_equals_the_teacher(
    shape: Shape, seed: int, fill: float | None
) -> None:
    teacher = filled(fill, seed, shape)
    same = Pair(teacher, teacher.clone())
    for name, loss in LOSSES.items():
        assert loss(same).item() == pytest.approx(0, abs=1e-6), name
    for recipe in RECIPES:
        assert recipe([same], (9, 7)).abs().max().item() <= 1e-6, recipe


@over_shapes(fills=st.tuples(FILLS, FILLS), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_losses_maps_and_gradients_are_finite_on_constant_and_zero_features(
    shape: Shape, seed: int, fills: tuple[float | None, float | None], dtype: torch.dtype
) -> None:
    teacher, student = (filled(f, seed + i, shape).to(dtype) for i, f in enumerate(fills))
    for name, loss in LOSSES.items():
        leaf = student.clone().requires_grad_()
        value = loss(Pair(teacher, leaf))
        (gradient,) = torch.autograd.grad(value, leaf)
        assert value.dtype == torch.float32, name
        assert value.isfinite(), name
        assert gradient.isfinite().all(), name
    for recipe in RECIPES:
        anomaly_map = recipe([Pair(teacher, student)], (9, 7))
        assert anomaly_map.dtype == torch.float32, recipe
        assert anomaly_map.isfinite().all(), recipe


@over_shapes()
def test_affinity_ignores_a_rotation_of_the_students_channels_and_the_cosine_does_not(
    shape: Shape, seed: int
) -> None:
    assume(shape[1] > 1)
    teacher, student = draw(seed, *shape), draw(seed + 1, *shape)
    turn = rotation(seed + 2, shape[1])
    for shift, form in product((0, 1), FORMS):
        straight = inter_affinity_distillation(Pair(teacher, student), shift, form).item()
        around = inter_affinity_distillation(Pair(teacher, turned(student, turn)), shift, form).item()
        assert around == pytest.approx(straight, abs=1e-5)
        alike = inter_affinity_distillation(Pair(teacher, turned(teacher, turn)), shift, form).item()
        assert alike == pytest.approx(0, abs=1e-5)
    assert channel_distillation(Pair(teacher, turned(teacher, turn))).item() > 1e-3


@over_shapes()
def test_the_partner_is_the_same_picture_for_teacher_and_student_and_never_itself(
    shape: Shape, seed: int
) -> None:
    depth, count = max(2, shape[1]), 4
    teacher = draw(seed, count, depth, *shape[2:])
    special = seed % count
    student = teacher.clone()
    # Turned as a whole, the special picture has its own affinities but none of those to the others.
    student[special] = turned(teacher, rotation(seed + 1, depth))[special]
    t, s = unit_vectors(teacher, "channel"), unit_vectors(student, "channel")
    assert intra_affinity_distillation(Pair(teacher, student), "abs").item() < 1e-6
    for shift in range(1, count):
        expected = 0.0
        for b in range(count):
            other = (b + shift) % count
            one = (affinity(s[b], s[other]) - affinity(t[b], t[other])).abs().mean().item()
            assert (one > 1e-3) == (special in (b, other))
            expected += one / count
        for pair in (Pair(teacher, student), Pair(teacher.roll(1, 0), student.roll(1, 0))):
            found = inter_affinity_distillation(pair, shift, "abs").item()
            assert found == pytest.approx(expected, abs=1e-6)


@over_shapes()
def test_the_forms_of_an_affinity_error_belong_together(shape: Shape, seed: int) -> None:
    pair = Pair(draw(seed, *shape), draw(seed + 1, *shape))
    maps = {form: affinity_map(pair, form) for form in FORMS}
    of_intra = {form: intra_affinity_distillation(pair, form) for form in FORMS}
    of_inter = {form: inter_affinity_distillation(pair, 1, form) for form in FORMS}
    for error in (maps, of_intra, of_inter):
        if error is maps or shape[0] == 1:  # a mean of roots is not the root of a mean
            assert ((error["rms"] + ROOT).square() - ROOT**2 - error["squared"]).abs().max() < 1e-6
        assert (error["abs"] <= error["rms"] + ROOT + 1e-6).all()
        assert (error["squared"] >= 0).all()
    assert maps["squared"].mean().item() == pytest.approx(of_intra["squared"].item(), abs=1e-6)


@over_shapes()
def test_the_spatial_term_ignores_a_constant_added_to_a_channel(shape: Shape, seed: int) -> None:
    teacher, student = draw(seed, *shape), draw(seed + 1, *shape)
    lift_t, lift_s = (4 * draw(seed + i, 1, shape[1], 1, 1) for i in (2, 3))
    for scale, reduction in product(get_args(SpatialScale), get_args(SpatialReduction)):
        before = spatial_distillation(Pair(teacher, student), scale, reduction=reduction).item()
        after = spatial_distillation(
            Pair(teacher + lift_t, student + lift_s), scale, reduction=reduction
        ).item()
        assert after == pytest.approx(before, rel=1e-4, abs=1e-5)


@torch.no_grad()
@over_shapes(centers=st.integers(1, 7), per_center_alpha=st.booleans())
def test_centres_at_zero_make_cram_the_identity(
    shape: Shape, seed: int, centers: int, per_center_alpha: bool
) -> None:
    cram = CRAM(shape[1], centers, per_center_alpha=per_center_alpha)
    torch.nn.init.zeros_(cram.centers)
    features = draw(seed, *shape)
    assert torch.equal(cram(features), features)


@torch.no_grad()
@over_shapes(
    centers=st.integers(1, 7), per_center_alpha=st.booleans(), mode=st.sampled_from(["residual", "codebook"])
)
def test_cram_equals_its_residuals_to_every_centre_written_out(
    shape: Shape, seed: int, centers: int, per_center_alpha: bool, mode: str
) -> None:
    cram = CRAM(shape[1], centers, mode, per_center_alpha=per_center_alpha)
    cram.centers.copy_(draw(seed, *cram.centers.shape))
    cram.raw_alpha.copy_(draw(seed + 1, *cram.raw_alpha.shape))
    features = draw(seed + 2, *shape)
    residuals = features[:, None] - cram.centers[None, :, :, None, None]  # (B, N, D, H, W)
    alpha = cram.alpha.expand(centers)[:, None, None]
    shares = torch.softmax(-alpha * residuals.square().sum(2), dim=1)[:, :, None]
    parts = residuals if mode == "residual" else cram.centers[None, :, :, None, None]
    assert torch.allclose(cram(features), (shares * parts).sum(1), atol=1e-5)


@pytest.mark.parametrize("per_center_alpha", [False, True])
@example(shape=(2, 256, 8, 8), seed=0, centers=50, spread=6.0)  # the paper's size
@settings(max_examples=25, deadline=None, derandomize=True)
@given(shape=SHAPES, seed=SEEDS, centers=st.integers(2, 7), spread=st.sampled_from([0.1, 1.0, 6.0]))
def test_gradients_reach_every_centre_and_every_alpha_at_the_start(
    shape: Shape, seed: int, centers: int, spread: float, per_center_alpha: bool
) -> None:
    cram = CRAM(shape[1], centers, per_center_alpha=per_center_alpha)
    features = spread * draw(seed, *shape)
    cram(features).square().mean().backward()
    assert cram.centers.grad is not None
    assert (cram.centers.grad.norm(dim=1) > 0).all()
    assert cram.raw_alpha.grad is not None
    assert (cram.raw_alpha.grad.abs() > 0).all()
    assert math.isfinite(cram.centers.grad.sum().item() + cram.raw_alpha.grad.sum().item())
