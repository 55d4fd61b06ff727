"""Options of the losses beyond the printed equations, which are in test_equations.py."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.distill.affinity import affinity_error, affinity_rows
from understudy.kernels.gram import unit_vectors
from understudy.kernels.spatial import spatial_distillation
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3
FORMS = ("rms", "abs", "squared")


@pytest.fixture
def pair() -> Pair:
    return Pair(torch.randn(B, D, H, W), torch.randn(B, D, H, W))


@pytest.mark.parametrize(("scale", "temperature"), [("none", 3.0), ("teacher", 1.0), ("teacher", 3.0)])
def test_the_spatial_logits_are_divided_by_the_teachers_spread_and_the_temperature(
    pair: Pair, scale: str, temperature: float
) -> None:
    total = 0.0
    for b in range(B):
        for d in range(D):
            t, s = pair.teacher[b, d].flatten().tolist(), pair.student[b, d].flatten().tolist()
            spread = float(torch.tensor(t).std(correction=0)) if scale == "teacher" else 1.0
            weights_t = [math.exp(v / spread / temperature) for v in t]
            weights_s = [math.exp(v / spread / temperature) for v in s]
            for wt, ws in zip(weights_t, weights_s, strict=True):
                p, q = wt / sum(weights_t), ws / sum(weights_s)
                total += p * math.log(p / q)
    found = spatial_distillation(pair, scale, temperature, "sum_d").item()
    assert found == pytest.approx(total / B, rel=1e-4)


def test_the_spatial_term_means_the_same_for_a_teacher_of_any_spread(pair: Pair) -> None:
    wide = Pair(600 * pair.teacher, 600 * pair.student)
    assert spatial_distillation(wide).item() == pytest.approx(spatial_distillation(pair).item(), rel=1e-4)
    assert spatial_distillation(wide, "none").item() > 50 * spatial_distillation(pair, "none").item()


@pytest.mark.parametrize("norm", ["channel", "tensor", "map"])
def test_every_normalisation_makes_unit_length_along_its_axis(norm: str) -> None:
    unit = unit_vectors(torch.randn(B, D, H, W), norm)
    length = {"channel": unit.norm(dim=1), "map": unit.norm(dim=2), "tensor": unit.flatten(1).norm(dim=1)}
    assert torch.allclose(length[norm], torch.ones(()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [3, 40])
def test_affinity_without_the_matrix_equals_the_matrix(form: str, depth: int) -> None:
    t, s, t2, s2 = (unit_vectors(torch.randn(2, depth, 5, 4), "channel") for _ in range(4))
    difference = (s.mT @ s2 - t.mT @ t2).double()
    literal = {
        "abs": difference.abs().mean(2),
        "squared": difference.square().mean(2),
        "rms": difference.square().mean(2).sqrt(),
    }
    assert torch.allclose(affinity_rows(t, s, t2, s2, form).double(), literal[form], atol=2e-4)


def test_the_absolute_form_in_tiles_has_the_gradient_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    t, s = (torch.randn(2, 6, 30, requires_grad=True) for _ in range(2))
    (whole,) = torch.autograd.grad(affinity_error(t, s, t, s, "abs"), s)
    monkeypatch.setattr("understudy.distill.affinity._TILE_ELEMENTS", 100)
    (tiled,) = torch.autograd.grad(affinity_error(t, s, t, s, "abs"), s)
    assert torch.allclose(whole, tiled, atol=1e-7)
