"""Contextual affinity against a literal version, and what it must and must not see."""

from __future__ import annotations

import math

import pytest
import torch

from understudy.distill.affinity import AffinityAgainst, RowMeasure, contextual_distance
from understudy.types import Pair

READINGS = [(a, m) for a in ("self", "teacher") for m in ("cosine", "kl")]
every_reading = pytest.mark.parametrize(("against", "measure"), READINGS)


def literal(pair: Pair, against: AffinityAgainst, measure: RowMeasure) -> torch.Tensor:
    b, _, h, w = pair.teacher.shape
    out = torch.zeros(b, h * w)
    for k in range(b):
        t, s = ([f[k, :, i // w, i % w] for i in range(h * w)] for f in pair[:2])
        for i in range(h * w):
            other = s if against == "self" else t
            t_row = [float(torch.dot(t[i], x) / (t[i].norm() * x.norm())) for x in t]
            s_row = [float(torch.dot(s[i], x) / (s[i].norm() * x.norm())) for x in other]
            # Centred over j as the mean unit vector is taken away from each x_j.
            t_row = [v - sum(t_row) / len(t_row) for v in t_row]
            s_row = [v - sum(s_row) / len(s_row) for v in s_row]
            if measure == "cosine":
                dot = sum(a * c for a, c in zip(t_row, s_row, strict=True))
                out[k, i] = 1 - dot / math.hypot(*t_row) / math.hypot(*s_row)
            else:
                p, q = ([math.exp(v) / sum(map(math.exp, row)) for v in row] for row in (t_row, s_row))
                out[k, i] = sum(a * math.log(a / c) for a, c in zip(p, q, strict=True))
    return out.view(b, 1, h, w)


@every_reading
@pytest.mark.parametrize("shape", [(2, 3, 2, 3), (1, 9, 3, 2)])
def test_it_equals_the_literal_loops(
    against: AffinityAgainst, measure: RowMeasure, shape: tuple[int, ...]
) -> None:
    pair = Pair(torch.randn(shape), torch.randn(shape))
    found = contextual_distance(pair, against, measure)
    torch.testing.assert_close(found, literal(pair, against, measure), rtol=1e-4, atol=1e-5)


@every_reading
@pytest.mark.parametrize("fill", [None, 0.0, 3.0])
def test_it_is_zero_where_both_agree_and_its_gradient_is_finite(
    against: AffinityAgainst, measure: RowMeasure, fill: float | None
) -> None:
    teacher = torch.randn(2, 4, 3, 5) if fill is None else torch.full((2, 4, 3, 5), fill)
    student = teacher.clone().requires_grad_()
    distance = contextual_distance(Pair(teacher, student), against, measure)
    assert distance.abs().max() < 1e-5
    distance.sum().backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("measure", ["cosine", "kl"])
def test_only_the_reading_against_itself_ignores_a_rotation_of_the_channels(measure: RowMeasure) -> None:
    teacher = torch.randn(2, 6, 4, 4)
    turn, _ = torch.linalg.qr(torch.randn(6, 6))
    turned = torch.einsum("ij,bjhw->bihw", turn, teacher)
    assert contextual_distance(Pair(teacher, turned), "self", measure).abs().max() < 1e-5
    assert contextual_distance(Pair(teacher, turned), "teacher", measure).mean() > 0.01


def test_one_odd_position_shows_in_its_own_row_most() -> None:
    teacher = torch.randn(1, 8, 5, 5)
    student = teacher.clone()
    student[0, :, 2, 3] = torch.randn(8)
    distance = contextual_distance(Pair(teacher, student))[0, 0]
    assert distance.argmax() == 2 * 5 + 3
