"""Options of the losses beyond the printed equations, which are in test_equations.py."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.distill.losses import Term, spatial_distillation, squared_error
from understudy.distill.valid import unit_vectors
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3


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


def test_a_weight_falls_linearly_to_zero_only_where_it_is_to() -> None:
    shares = (0.0, 0.25, 1.0)
    falling, constant = (
        Term("a", 2.0, lambda pair, shift, done: pair.student.sum(), anneals=a) for a in (True, False)
    )
    assert [falling.weight_after(done) for done in shares] == [2.0, 1.5, 0.0]
    assert [constant.weight_after(done) for done in shares] == [2.0, 2.0, 2.0]


def test_a_term_of_an_older_method_takes_a_pair_and_a_shift_alone() -> None:
    term = Term("own", 1.0, lambda pair, shift: pair.teacher.sum() * shift)  # type: ignore[arg-type,misc]
    pair = Pair(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))

    assert term.error(pair, 3, 0.5) == 12


def test_the_squared_error_is_a_mean_over_channels_and_cells_that_count(pair: Pair) -> None:
    valid = torch.ones(B, 1, H, W)
    valid[0, :, 1:], valid[2, :, :, 0] = 0, 0
    for mask in (None, valid):
        pictures = []
        for b in range(B):
            cells = [(y, x) for y in range(H) for x in range(W) if mask is None or mask[b, 0, y, x]]
            errors = [
                float(pair.student[b, d, y, x] - pair.teacher[b, d, y, x]) for y, x in cells for d in range(D)
            ]
            pictures.append(sum(e**2 for e in errors) / len(errors))
        found = squared_error(pair._replace(valid=mask)).item()
        assert found == pytest.approx(sum(pictures) / B, rel=1e-4)
