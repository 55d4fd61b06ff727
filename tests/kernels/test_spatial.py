"""The spatial term in one pass: logits that differ by more than an exponential can hold."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from understudy.kernels.spatial import spatial_distillation
from understudy.types import Pair


def test_a_logit_far_below_the_largest_costs_the_divergence_what_it_should() -> None:
    teacher, student = torch.zeros(1, 1, 1, 4), torch.tensor([0.0, -500, 0, 0]).view(1, 1, 1, 4)
    leaf = student.clone().requires_grad_()
    value = spatial_distillation(Pair(teacher, leaf), "none")
    log_t, log_s = (torch.log_softmax(f.view(1, 4), 1) for f in (teacher, student))
    literal = F.kl_div(log_s, log_t, reduction="sum", log_target=True)
    assert value.item() == pytest.approx(literal.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, leaf)
    assert gradient.flatten().tolist() == pytest.approx([1 / 12, -1 / 4, 1 / 12, 1 / 12])


@pytest.mark.parametrize("scale", ["teacher", "none"])
def test_logits_of_any_size_give_finite_values_and_gradients(scale: str) -> None:
    teacher, student = (factor * torch.randn(2, 3, 4, 5) for factor in (1e4, 1e-4))
    for pair in (Pair(teacher, student), Pair(student, teacher)):
        leaf = pair.student.clone().requires_grad_()
        value = spatial_distillation(pair._replace(student=leaf), scale)
        (gradient,) = torch.autograd.grad(value, leaf)
        assert value.isfinite()
        assert gradient.isfinite().all()
