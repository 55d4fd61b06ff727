"""Rows of affinity errors between any two pictures, with and without the n x n matrix, and in tiles."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from understudy.distill.affinity import mean_matrix_error, root
from understudy.distill.valid import cell_mean, unit_vectors
from understudy.kernels.gram import inter_affinity_distillation
from understudy.kernels.rows import absolute_rows, has_small_matrix, squared_rows
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3
ROOT = 1e-4  # the root of the mean square is taken this far off its zero
SIDES = st.integers(1, 5)


def units(count: int, *shape: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [unit_vectors(torch.randn(shape, generator=generator), "channel") for _ in range(count)]


@pytest.mark.parametrize("depth", [3, 40])
def test_rows_equal_those_of_the_matrix(depth: int) -> None:
    t, s, t2, s2 = units(4, 2, depth, 5, 4)
    assert has_small_matrix(t) == (depth == 40)
    difference = (s.mT @ s2 - t.mT @ t2).double()
    squared = squared_rows(t, s, t2, s2, None)
    literal = {
        "abs": difference.abs().mean(2),
        "squared": difference.square().mean(2),
        "rms": difference.square().mean(2).sqrt(),
    }
    found = {"abs": absolute_rows(t, s, t2, s2, None), "squared": squared, "rms": root(squared)}
    for form, rows in found.items():
        assert torch.allclose(rows.double(), literal[form], atol=2e-4), form


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9), SIDES, SIDES),
    seed=st.integers(0, 999),
    partner=st.booleans(),
)
def test_the_forms_of_rows_belong_together(shape: tuple[int, ...], seed: int, partner: bool) -> None:
    t, s, *other = units(4 if partner else 2, *shape, seed=seed)
    t2, s2 = other or (t, s)
    squared, absolute = squared_rows(t, s, t2, s2, None), absolute_rows(t, s, t2, s2, None)
    rms = root(squared)
    assert ((rms + ROOT).square() - ROOT**2 - squared).abs().max() < 1e-6
    assert (absolute <= rms + ROOT + 1e-6).all()
    assert (squared >= 0).all()


def test_the_absolute_form_in_tiles_has_the_gradient_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    t, s = (torch.randn(2, 6, 30, requires_grad=True) for _ in range(2))

    def gradient() -> Tensor:
        error = mean_matrix_error(cell_mean(absolute_rows(t, s, t, s, None), None), "abs")
        return torch.autograd.grad(error, s)[0]

    whole = gradient()
    monkeypatch.setattr("understudy.kernels.rows._TILE_ELEMENTS", 100)
    assert torch.allclose(whole, gradient(), atol=1e-7)


def test_the_absolute_form_in_tiles_is_that_of_the_valid_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.kernels.rows._TILE_ELEMENTS", 3 * H * W)
    valid = torch.ones(B, 1, H, W)
    valid[0, :, :, 1:], valid[0, :, 0] = 0, 0
    valid[1, :, 1:3, 1] = 0
    teacher, student = torch.randn(B, D, H, W), torch.randn(B, D, H, W, requires_grad=True)
    found = inter_affinity_distillation(Pair(teacher, student, valid), 1, "abs")
    alone = [
        [
            torch.nn.functional.normalize(f[b].detach().double().flatten(1).T[valid[b].flatten() > 0])
            for b in range(B)
        ]
        for f in (teacher, student)
    ]
    errors = [
        (s @ s2.T - t @ t2.T).abs().mean().item()
        for t, s, t2, s2 in zip(*alone, *([*f[1:], f[0]] for f in alone), strict=True)
    ]
    assert found.item() == pytest.approx(math.fsum(errors) / B, abs=1e-6)
    (gradient,) = torch.autograd.grad(found, student)
    assert (gradient.abs().sum(1, keepdim=True) > 0).float().equal(valid)
