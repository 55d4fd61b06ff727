"""The affinity loss through Gram matrices: its value, its gradient, and what bfloat16 costs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from understudy.distill import affinity
from understudy.distill.acceleration import one_batch, plain_equations
from understudy.distill.valid import valid_cells
from understudy.kernels.gram import inter_affinity_distillation
from understudy.types import Pair

SHAPE = (3, 6, 5, 7)  # fewer channels than positions: by Gram matrices
MANY = (3, 40, 5, 7)  # more: by the n x n matrix


def with_gradient(pair: Pair, shift: int, form: str, norm: str) -> tuple[Tensor, Tensor]:
    student = pair.student.clone().requires_grad_()
    value = inter_affinity_distillation(pair._replace(student=student), shift, form, norm)
    return value.detach(), torch.autograd.grad(value, student)[0]


def literal(pair: Pair, shift: int, form: str, norm: str) -> tuple[Tensor, Tensor]:
    """Through the n x n matrices in double precision, differentiated by torch."""
    student = pair.student.double().requires_grad_()
    valid = torch.ones(len(student), 1, *SHAPE[2:]) if pair.valid is None else pair.valid

    def unit(features: Tensor) -> Tensor:
        values = (features * valid).flatten(2)
        dims = {"channel": (1,), "map": (2,), "tensor": (1, 2)}[norm]
        return values / (values.square().sum(dims, keepdim=True) + 1e-20).sqrt()

    t, s, seen = unit(pair.teacher.double()), unit(student), valid.flatten(2)
    t2, s2, seen_2 = (f.roll(-shift, 0) for f in (t, s, seen))
    count = seen.sum((1, 2)) * seen_2.sum((1, 2))
    each = ((s.mT @ s2 - t.mT @ t2).square()).sum((1, 2)) / count
    value = each.sqrt().mean() if form == "rms" else each.mean()
    return value.detach(), torch.autograd.grad(value, student)[0]


@pytest.mark.parametrize("norm", ["channel", "tensor", "map"])
@pytest.mark.parametrize("form", ["squared", "rms"])
@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("all_count", [True, False])
@pytest.mark.parametrize("shape", [SHAPE, MANY, (1, *SHAPE[1:])])
def test_value_and_gradient_are_those_of_the_matrices(
    shift: int, form: str, norm: str, all_count: bool, shape: tuple[int, int, int, int]
) -> None:
    valid = None if all_count else valid_cells((torch.rand(shape[0], 1, 20, 28) < 0.5).float(), shape[2:])
    features = [torch.randn(shape) for _ in range(2)]
    if shift:
        features = [f.contiguous(memory_format=torch.channels_last) for f in features]
    pair = Pair(features[0], features[1], valid)
    (value, gradient), (expected, slope) = (way(pair, shift, form, norm) for way in (with_gradient, literal))
    assert value.item() == pytest.approx(expected.item(), abs=2e-4 if form == "rms" else 1e-6)
    # the root is of 1e-8 more, so that it has a slope at zero
    assert torch.allclose(gradient.double(), slope, rtol=0.05 if form == "rms" else 1e-3, atol=1e-6)


@pytest.mark.parametrize("relative", [1e-2, 0.1, None])
def test_bfloat16_products_give_the_loss_and_gradient_of_float32(relative: float | None) -> None:
    shape = (2, 128, 24, 24)
    teacher = torch.randn(shape).relu()
    student = torch.randn(shape).relu() if relative is None else teacher * (1 + relative * torch.randn(shape))
    t, s = (f.bfloat16().contiguous(memory_format=torch.channels_last) for f in (teacher, student))
    value, gradient = with_gradient(Pair(t, s), 1, "rms", "channel")
    expected, slope = with_gradient(Pair(t.float(), s.float()), 1, "rms", "channel")
    assert gradient.dtype == torch.bfloat16
    assert value.item() == pytest.approx(expected.item(), rel=1e-3)
    assert torch.cosine_similarity(gradient.float().flatten(), slope.flatten(), 0) > 0.9999
    assert gradient.float().norm().item() == pytest.approx(slope.norm().item(), rel=1e-2)


def test_a_rotated_students_equal_affinities_have_an_error_below_the_stated_floor() -> None:
    rotation = torch.linalg.qr(torch.randn(128, 128))[0]
    teacher = torch.randn(2, 128, 24, 24).relu()
    student = torch.einsum("dc,bchw->bdhw", rotation, teacher)
    for dtype, floor in ((torch.float32, 1.5e-3), (torch.bfloat16, 3e-3)):
        t, s = (f.to(dtype).contiguous(memory_format=torch.channels_last) for f in (teacher, student))
        assert inter_affinity_distillation(Pair(t, s), 1) < floor


def test_a_student_equal_to_its_teacher_has_no_error_and_no_gradient() -> None:
    features = torch.randn(SHAPE)
    for shift in (0, 1):
        value, gradient = with_gradient(Pair(features, features.clone()), shift, "rms", "channel")
        assert value == 0
        assert not gradient.any()


def test_terms_that_share_what_they_need_give_what_each_gives_alone() -> None:
    pair = Pair(torch.randn(SHAPE), torch.randn(SHAPE, requires_grad=True))
    alone = [inter_affinity_distillation(pair, shift) for shift in (0, 1)]
    (apart,) = torch.autograd.grad(torch.stack(alone).sum(), pair.student)
    with one_batch():
        together = [inter_affinity_distillation(pair, shift) for shift in (0, 1)]
    (at_once,) = torch.autograd.grad(torch.stack(together).sum(), pair.student)
    assert together == alone
    assert torch.allclose(apart, at_once, atol=1e-7)
    with plain_equations():
        plain = affinity.inter_affinity_distillation(pair, 1)
    assert alone[1].item() == pytest.approx(plain.item(), abs=1e-6)
