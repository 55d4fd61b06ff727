"""Gradients that are taken chunk by chunk are those of the plain formulas in double precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from understudy.kernels.chunks import channel_distillation, image_chunks
from understudy.kernels.spatial import spatial_distillation
from understudy.types import Pair

SHAPE = (3, 6, 4, 5)


def cosine(teacher: Tensor, student: Tensor, reading: str) -> Tensor:
    """Of one picture's (D, n) of cells that count."""
    dims = (0, 1) if reading == "global" else (0,)
    product = (teacher * student).sum(dims)
    return (1 - product / (teacher.square().sum(dims) * student.square().sum(dims)).sqrt()).mean()


def divergence(teacher: Tensor, student: Tensor, scale: str, temperature: float, reduction: str) -> Tensor:
    """Likewise."""
    spread = teacher.std(1, keepdim=True, correction=0) if scale == "teacher" else 1
    log_t, log_s = (torch.log_softmax(f / spread / temperature, 1) for f in (teacher, student))
    each = F.kl_div(log_s, log_t, reduction="none", log_target=True)
    return {"mean_d": each.sum(1).mean(), "sum_d": each.sum(), "mean_all": each.mean()}[reduction]


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
@pytest.mark.parametrize("all_count", [True, False])
def test_the_gradient_is_that_of_the_formula(name: str, layout: torch.memory_format, all_count: bool) -> None:
    ours, formula = LOSSES[name]
    teacher, student = (torch.randn(SHAPE).contiguous(memory_format=layout) for _ in range(2))
    valid = None if all_count else (torch.rand(SHAPE[0], 1, *SHAPE[2:]) < 0.6).float()
    leaf, exact = student.clone().requires_grad_(), student.double().requires_grad_()
    value = 3 * ours(Pair(teacher, leaf, valid))
    seen = torch.ones(SHAPE[0], *SHAPE[2:]) if valid is None else valid[:, 0]
    pictures = [
        formula(t[:, counts], s[:, counts])
        for t, s, counts in zip(teacher.double(), exact, seen.bool(), strict=True)
    ]
    expected = 3 * torch.stack(pictures).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    (gradient,), (slope,) = torch.autograd.grad(value, leaf), torch.autograd.grad(expected, exact)
    assert torch.allclose(gradient.double(), slope, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_the_same_without_gradients_and_asks_for_none_of_the_teacher(name: str) -> None:
    ours, _ = LOSSES[name]
    teacher, student = (torch.randn(SHAPE, requires_grad=True) for _ in range(2))
    value = ours(Pair(teacher, student))
    for without in (torch.no_grad, torch.inference_mode):
        with without():
            alone = ours(Pair(teacher, student))
        assert alone == value
        assert not alone.requires_grad
    assert torch.autograd.grad(value, teacher, allow_unused=True) == (None,)
    assert not ours(Pair(teacher, student.detach())).requires_grad


def test_chunks_are_single_images_that_make_up_the_batch() -> None:
    student, teacher, valid = torch.randn(SHAPE), torch.randn(SHAPE), torch.ones(SHAPE[0], 1, *SHAPE[2:])
    for mask in (valid, None):
        chunks = list(image_chunks(student, teacher, mask))
        assert all(torch.equal(s, student[here]) and len(s) == 1 for here, s, _, _ in chunks)
        assert torch.equal(torch.cat([s for _, s, _, _ in chunks]), student)
        assert torch.equal(torch.cat([t for _, _, t, _ in chunks]), teacher)
        assert all((v is None) == (mask is None) for *_, v in chunks)
