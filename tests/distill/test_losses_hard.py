"""The channel term that weighs a batch's hard cells more, against a literal one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from understudy.distill.losses import channel_distillation
from understudy.types import Pair

SHAPE = (3, 6, 4, 5)  # sixty cells, of which six are hard


def literal(teacher: Tensor, student: Tensor, counts: Tensor) -> Tensor:
    """Cell by cell, in double precision."""
    distances = [
        1 - t @ s / t.norm() / s.norm()
        for one, other, seen in zip(teacher.double(), student.double(), counts, strict=True)
        for t, s, c in zip(one.flatten(1).T, other.flatten(1).T, seen.flatten(), strict=True)
        if c
    ]
    highest_first = sorted(distances, key=lambda d: float(d.detach()), reverse=True)
    hard = len(distances) - int(0.9 * len(distances))
    weights = [1.0] * hard + [0.1] * (len(distances) - hard)
    total = sum(w * d for w, d in zip(weights, highest_first, strict=True))
    assert isinstance(total, Tensor)
    return total / sum(weights)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("all_count", [True, False])
def test_the_tenth_that_differs_most_weighs_ten_times_as_much(
    layout: torch.memory_format, all_count: bool
) -> None:
    teacher, student = (torch.randn(SHAPE).contiguous(memory_format=layout) for _ in range(2))
    valid = None if all_count else (torch.rand(SHAPE[0], 1, *SHAPE[2:]) < 0.6).float()
    counts = torch.ones(SHAPE[0], 1, *SHAPE[2:]) if valid is None else valid
    leaf, exact = student.clone().requires_grad_(), student.double().requires_grad_()
    value, expected = (
        channel_distillation(Pair(teacher, leaf, valid), "hard"),
        literal(teacher, exact, counts),
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    (gradient,), (slope,) = torch.autograd.grad(value, leaf), torch.autograd.grad(expected, exact)
    assert torch.allclose(gradient.double(), slope, rtol=1e-3, atol=1e-6)


def test_hard_cells_are_the_batchs_not_each_pictures() -> None:
    teacher = torch.randn(SHAPE)
    student = teacher.clone()
    student[2, :, 0] = -teacher[2, :, 0]  # five cells as far off as can be, and one half as far
    student[2, :, 1, 0] = teacher[2, :, 1, 0].flip(0) * torch.tensor([1, -1, 1, -1, 1, -1])
    value = channel_distillation(Pair(teacher, student), "hard").item()
    assert value == pytest.approx((2 * 5 + 1) / (6 + 0.1 * 54), rel=1e-4)


def test_a_batch_in_which_nothing_counts_asks_for_nothing() -> None:
    leaf = torch.randn(SHAPE, requires_grad=True)
    value = channel_distillation(Pair(torch.randn(SHAPE), leaf, torch.zeros(3, 1, 4, 5)), "hard")
    (gradient,) = torch.autograd.grad(value, leaf)
    assert value.item() == 0
    assert not gradient.any()


def test_what_stands_where_nothing_counts_changes_nothing() -> None:
    teacher, student = torch.randn(SHAPE), torch.randn(SHAPE)
    valid = (torch.rand(SHAPE[0], 1, *SHAPE[2:]) < 0.6).float()
    other = torch.where(valid > 0, student, torch.full_like(student, 1e4))
    values = [channel_distillation(Pair(teacher, s, valid), "hard").item() for s in (student, other)]
    assert values[0] == values[1]
