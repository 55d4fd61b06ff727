"""Gradients that are taken piece by piece are those of the plain formulas in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.distill.losses import channel_distillation
from understudy.distill.spatial import spatial_distillation
from understudy.types import Pair

SHAPE = (3, 6, 4, 5)


def cosine(teacher: Tensor, student: Tensor, reading: str) -> Tensor:
    dims = (1, 2, 3) if reading == "global" else (1,)
    product = (teacher * student).sum(dims)
    return (1 - product / (teacher.square().sum(dims) * student.square().sum(dims)).sqrt()).mean()


def divergence(teacher: Tensor, student: Tensor, scale: str, temperature: float, reduction: str) -> Tensor:
    t, s = teacher.flatten(2), student.flatten(2)
    spread = t.std(2, keepdim=True, correction=0) if scale == "teacher" else 1
    log_t, log_s = (torch.log_softmax(f / spread / temperature, 2) for f in (t, s))
    each = F.kl_div(log_s, log_t, reduction="none", log_target=True)
    return {"mean_d": each.sum(2).mean(), "sum_d": each.sum((1, 2)).mean(), "mean_all": each.mean()}[
        reduction
    ]


LOSSES: dict[str, tuple[Callable[[Pair], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    f"cosine {reading}": (
        lambda pair, r=reading: channel_distillation(pair, r),
        lambda t, s, r=reading: cosine(t, s, r),
    )
    for reading in ("local", "global")
} | {
    f"spatial {scale} {temperature} {reduction}": (
        lambda pair, a=(scale, temperature, reduction): spatial_distillation(pair, *a),
        lambda t, s, a=(scale, temperature, reduction): divergence(t, s, *a),
    )
    for scale in ("teacher", "none")
    for temperature in (1.0, 4.0)
    for reduction in ("mean_d", "sum_d", "mean_all")
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_is_that_of_the_formula(name: str, layout: torch.memory_format) -> None:
    ours, formula = LOSSES[name]
    teacher, student = (torch.randn(SHAPE).contiguous(memory_format=layout) for _ in range(2))
    leaf, exact = student.clone().requires_grad_(), student.double().requires_grad_()
    value, expected = 3 * ours(Pair(teacher, leaf)), 3 * formula(teacher.double(), exact)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    (gradient,), (slope,) = torch.autograd.grad(value, leaf), torch.autograd.grad(expected, exact)
    assert torch.allclose(gradient.double(), slope, rtol=1e-3, atol=1e-6)


def test_a_logit_far_below_the_largest_costs_the_divergence_what_it_should() -> None:
    teacher, student = torch.zeros(1, 1, 1, 4), torch.tensor([0.0, -500, 0, 0]).view(1, 1, 1, 4)
    leaf = student.clone().requires_grad_()
    value = spatial_distillation(Pair(teacher, leaf), "none")
    assert value.item() == pytest.approx(divergence(teacher, student, "none", 1.0, "mean_d").item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert gradient.flatten().tolist() == pytest.approx([1 / 12, -1 / 4, 1 / 12, 1 / 12])
