"""Which cells count, and every loss against a literal one of those cells alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from understudy.distill.affinity import (
    AffinityAgainst,
    AffinityForm,
    RowMeasure,
    contextual_distance,
    contextual_distillation,
    inter_affinity_distillation,
)
from understudy.distill.losses import (
    CosineReading,
    SpatialReduction,
    SpatialScale,
    channel_distillation,
    cosine_distance,
    spatial_distillation,
)
from understudy.distill.maps import smooth
from understudy.distill.valid import AffinityNorm, unit_vectors, valid_cells
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3
ROOT = 1.1e-4  # the root of the mean square is taken this far off its zero

COSINES = [reading for reading in get_args(CosineReading) if reading != "hard"]  # in test_losses_hard.py
SPATIAL = list(product(get_args(SpatialScale), (1.0, 4.0), get_args(SpatialReduction)))
AFFINITY = list(product((0, 1, 2), get_args(AffinityForm), get_args(AffinityNorm)))
CONTEXTUAL = list(product(get_args(AffinityAgainst), get_args(RowMeasure)))


def some_cells() -> Tensor:
    """A corner, a frame with a hole, and everything: (B, 1, H, W)."""
    valid = torch.ones(B, 1, H, W)
    valid[0, :, :, 1:], valid[0, :, 0] = 0, 0
    valid[1, :, 1:3, 1] = 0
    return valid


@pytest.fixture
def pair() -> Pair:
    return Pair(torch.randn(B, D, H, W), torch.randn(B, D, H, W), some_cells())


def alone(features: Tensor, valid: Tensor, b: int) -> Tensor:
    """(k, D) float64: the cells of one picture that count."""
    return features[b].double().flatten(1).T[valid[b].flatten() > 0]


# Literal losses: of the (k, D) cells of one picture that count, and of its partner's.


def literal_cosine(t: Tensor, s: Tensor, reading: str) -> float:
    if reading == "global":
        t, s = t.reshape(1, -1), s.reshape(1, -1)
    each = [1 - float(a @ b / a.norm() / b.norm()) for a, b in zip(t, s, strict=True)]
    return sum(each) / len(each)


def literal_spatial(t: Tensor, s: Tensor, scale: str, temperature: float, reduction: str) -> float:
    total = 0.0
    for x, y in zip(t.T, s.T, strict=True):
        divisor = float(x.std(correction=0)) * temperature if scale == "teacher" else temperature
        p, q = ((v / divisor).exp() / (v / divisor).exp().sum() for v in (x, y))
        total += float((p * (p / q).log()).sum())
    return total / {"sum_d": 1, "mean_d": D, "mean_all": D * len(t)}[reduction]


def literal_affinity(t: Tensor, s: Tensor, t2: Tensor, s2: Tensor, form: str, norm: str) -> float:
    def unit(f: Tensor) -> Tensor:
        length = {"channel": f.norm(dim=1, keepdim=True), "map": f.norm(dim=0), "tensor": f.norm()}[norm]
        return f / length

    t, s, t2, s2 = (unit(f) for f in (t, s, t2, s2))
    errors = [float(s[i] @ s2[j] - t[i] @ t2[j]) for i in range(len(t)) for j in range(len(t2))]
    if form == "abs":
        return sum(map(abs, errors)) / len(errors)
    square = sum(e * e for e in errors) / len(errors)
    return math.sqrt(square) if form == "rms" else square


def literal_contextual(t: Tensor, s: Tensor, against: str, measure: str) -> list[float]:
    t, s = (f / f.norm(dim=1, keepdim=True) for f in (t, s))
    rows = []
    for i in range(len(t)):
        a, b = t @ t[i], (s if against == "self" else t) @ s[i]
        a, b = a - a.mean(), b - b.mean()
        if measure == "cosine":
            rows.append(1 - float(a @ b / a.norm() / b.norm()))
        else:
            p, q = (v.exp() / v.exp().sum() for v in (a, b))
            rows.append(float((p * (p / q).log()).sum()))
    return rows


def over_pictures(pair: Pair, literal: Callable[..., float], shift: int | None = None) -> float:
    """Mean over pictures of a literal loss of their cells that count, and of their partner's if asked."""
    valid, total = pair.valid, 0.0
    assert valid is not None
    for b in range(B):
        who = [b] if shift is None else [b, (b + shift) % B]
        total += literal(*(alone(f, valid, one) for one in who for f in pair[:2])) / B
    return total


@pytest.mark.parametrize("reading", COSINES)
def test_the_channel_term_is_that_of_the_counting_cells_alone(pair: Pair, reading: str) -> None:
    literal = over_pictures(pair, lambda t, s: literal_cosine(t, s, reading))
    assert channel_distillation(pair, reading).item() == pytest.approx(literal, abs=1e-6)


@pytest.mark.parametrize(("scale", "temperature", "reduction"), SPATIAL)
def test_the_spatial_term_is_that_of_the_counting_cells_alone(
    pair: Pair, scale: str, temperature: float, reduction: str
) -> None:
    literal = over_pictures(pair, lambda t, s: literal_spatial(t, s, scale, temperature, reduction))
    found = spatial_distillation(pair, scale, temperature, reduction).item()
    assert found == pytest.approx(literal, rel=1e-4)


@pytest.mark.parametrize(("shift", "form", "norm"), AFFINITY)
def test_the_affinity_terms_are_those_of_the_counting_cells_alone(
    pair: Pair, shift: int, form: str, norm: str
) -> None:
    literal = over_pictures(pair, lambda *all_four: literal_affinity(*all_four, form, norm), shift)
    found = inter_affinity_distillation(pair, shift, form, norm).item()
    assert found == pytest.approx(literal, abs=ROOT if form == "rms" else 1e-6)


@pytest.mark.parametrize(("against", "measure"), CONTEXTUAL)
def test_the_contextual_term_is_that_of_the_counting_cells_alone(
    pair: Pair, against: str, measure: str
) -> None:
    found, valid = contextual_distance(pair, against, measure), some_cells()
    for b in range(B):
        literal = literal_contextual(*(alone(f, valid, b) for f in pair[:2]), against, measure)
        assert found[b][valid[b] > 0].tolist() == pytest.approx(literal, abs=1e-5)
        assert not found[b][valid[b] == 0].any()
    mean = over_pictures(pair, lambda t, s: float(np.mean(literal_contextual(t, s, against, measure))))
    assert contextual_distillation(pair, against, measure).item() == pytest.approx(mean, abs=1e-5)


def test_cells_that_do_not_count_have_no_share_however_low_the_logit_of_the_only_one_that_does() -> None:
    valid = torch.zeros(1, 1, H, W)
    valid[..., 1, 1] = 1
    teacher, student = torch.full((1, D, H, W), -2.0), torch.randn(1, D, H, W, requires_grad=True)
    value = spatial_distillation(Pair(teacher, student, valid))  # the teacher's spread is zero
    (gradient,) = torch.autograd.grad(value, student)
    assert value == 0
    assert not gradient.any()


def test_nothing_is_said_to_be_ignored_and_every_figure_is_the_plain_formulas(pair: Pair) -> None:
    plain = pair._replace(valid=None)
    t, s = (unit_vectors(f, "channel") for f in plain[:2])
    t2, s2 = t.roll(-1, 0), s.roll(-1, 0)
    distance = cosine_distance(plain)
    assert torch.equal(distance.flatten(1), 0.5 * (t - s).square().sum(1))
    assert channel_distillation(plain).item() == pytest.approx(distance.mean().item(), rel=1e-6)
    errors = s.mT @ s2 - t.mT @ t2
    assert torch.equal(inter_affinity_distillation(plain, 1, "abs"), errors.abs().mean(2).mean(1).mean())
    log_t, log_s = (torch.log_softmax(f.flatten(2), 2) for f in plain[:2])
    each = nn.functional.kl_div(log_s, log_t, reduction="none", log_target=True)
    assert spatial_distillation(plain, "none", reduction="mean_all").item() == pytest.approx(
        each.mean().item(), rel=1e-5
    )
    assert torch.equal(contextual_distillation(plain), contextual_distance(plain).mean())
    assert smooth(distance, 0, None) is distance


# Which cells count.


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (12, 10), (1, 1)])
def test_a_cell_counts_if_half_of_its_area_does(grid: tuple[int, int]) -> None:
    valid = (torch.rand(4, 1, 12, 10) < 0.5).float()
    found = valid_cells(valid, grid)
    assert found.shape == (4, 1, *grid)
    for b, y, x in product(range(4), range(grid[0]), range(grid[1])):
        top, bottom = y * 12 // grid[0], -(-(y + 1) * 12 // grid[0])
        left, right = x * 10 // grid[1], -(-(x + 1) * 10 // grid[1])
        share = valid[b, 0, top:bottom, left:right].mean().item()
        if found[b].sum() > 1:
            assert found[b, 0, y, x].item() == (share >= 0.5)


def test_of_a_picture_without_such_a_cell_the_best_covered_ones_count() -> None:
    valid = torch.zeros(3, 1, 8, 8)
    valid[0, 0, 3:5, 1], valid[0, 0, 7, 7] = 1, 1  # one pixel in three cells of four
    valid[1, 0, 5, 6], valid[1, 0, 0, 0], valid[1, 0, 4, 7] = 1, 1, 1
    found = valid_cells(valid, (2, 2))
    assert found[:, 0].tolist() == [[[1, 0], [1, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]
