"""Every training equation of SNL against a literal, slow version in double loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from understudy.distill.affinity import affinity_error, affinity_rows, normalised
from understudy.distill.losses import (
    affinity_distillation,
    channel_distillation,
    cosine_distance,
    spatial_distillation,
)
from understudy.types import Pair

B, D, H, W = 3, 5, 4, 3
FORMS = ("rms", "abs", "squared")


@pytest.fixture
def pair() -> Pair:
    return Pair(torch.randn(B, D, H, W), torch.randn(B, D, H, W))


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a @ b) / (a.norm() * b.norm()))


def test_equation_1_and_2_is_one_minus_the_cosine_of_every_position_averaged(pair: Pair) -> None:
    literal = [
        1 - cosine(pair.teacher[b, :, h, w], pair.student[b, :, h, w])
        for b in range(B)
        for h in range(H)
        for w in range(W)
    ]
    assert cosine_distance(pair).flatten().tolist() == pytest.approx(literal, abs=1e-5)
    assert channel_distillation(pair).item() == pytest.approx(sum(literal) / len(literal), abs=1e-5)


def test_the_global_reading_compares_whole_tensors(pair: Pair) -> None:
    literal = [1 - cosine(pair.teacher[b].flatten(), pair.student[b].flatten()) for b in range(B)]
    assert channel_distillation(pair, "global").item() == pytest.approx(sum(literal) / B, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("scale", ["none", "teacher"])
def test_equation_3_and_4_is_the_divergence_of_softmaxes_over_positions(
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
    as_printed = spatial_distillation(pair, scale, temperature, "sum_d").item()
    assert as_printed == pytest.approx(total / B, rel=1e-4)
    assert spatial_distillation(pair, scale, temperature, "mean_d").item() == pytest.approx(
        total / B / D, rel=1e-4
    )
    assert spatial_distillation(pair, scale, temperature, "mean_all").item() == pytest.approx(
        total / B / D / (H * W), rel=1e-4
    )


def test_the_spatial_term_means_the_same_for_a_teacher_of_any_spread(pair: Pair) -> None:
    wide = Pair(600 * pair.teacher, 600 * pair.student)
    assert spatial_distillation(wide).item() == pytest.approx(spatial_distillation(pair).item(), rel=1e-4)
    assert spatial_distillation(wide, "none").item() > 50 * spatial_distillation(pair, "none").item()


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_equation_5_and_6_is_the_mean_error_of_affinities_to_the_partner(pair: Pair, shift: int) -> None:
    errors = torch.zeros(B, H * W, H * W)
    teacher, student = pair.teacher.flatten(2), pair.student.flatten(2)
    for b in range(B):
        other = (b + shift) % B  # the same partner for teacher and student
        for i in range(H * W):
            for j in range(H * W):
                a_t = cosine(teacher[b, :, i], teacher[other, :, j])
                a_s = cosine(student[b, :, i], student[other, :, j])
                errors[b, i, j] = a_s - a_t
    assert affinity_distillation(pair, shift, "abs").item() == pytest.approx(
        errors.abs().mean().item(), abs=1e-5
    )
    assert affinity_distillation(pair, shift, "squared").item() == pytest.approx(
        errors.square().mean().item(), abs=1e-5
    )
    assert affinity_distillation(pair, shift, "rms").item() == pytest.approx(
        errors.square().mean((1, 2)).sqrt().mean().item(), abs=2e-4
    )


@pytest.mark.parametrize("norm", ["channel", "tensor", "map"])
def test_every_normalisation_makes_unit_length_along_its_axis(norm: str) -> None:
    unit = normalised(torch.randn(B, D, H, W), norm)
    length = {"channel": unit.norm(dim=1), "map": unit.norm(dim=2), "tensor": unit.flatten(1).norm(dim=1)}
    assert torch.allclose(length[norm], torch.ones(()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("depth", [3, 40])
def test_affinity_without_the_matrix_equals_the_matrix(form: str, depth: int) -> None:
    t, s, t2, s2 = (normalised(torch.randn(2, depth, 5, 4), "channel") for _ in range(4))
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


@pytest.mark.parametrize("form", FORMS)
def test_affinity_ignores_a_rotation_of_the_students_channels_and_the_cosine_does_not(form: str) -> None:
    teacher = torch.randn(B, D, H, W)
    rotation, _ = torch.linalg.qr(torch.randn(D, D))
    turned = Pair(teacher, torch.einsum("ij,bjhw->bihw", rotation, teacher))
    assert affinity_distillation(turned, 0, form).item() == pytest.approx(0, abs=1e-4)
    assert affinity_distillation(turned, 1, form).item() == pytest.approx(0, abs=1e-4)
    assert channel_distillation(turned).item() > 0.1


@pytest.mark.parametrize("scale", [1.0, 6.0])
def test_every_loss_is_zero_where_the_student_equals_the_teacher(scale: float) -> None:
    teacher = scale * torch.randn(B, D, H, W)
    same = Pair(teacher, teacher.clone())
    losses = [channel_distillation(same), channel_distillation(same, "global"), spatial_distillation(same)]
    losses += [affinity_distillation(same, shift, form) for shift in (0, 1) for form in FORMS]
    assert all(abs(loss.item()) < 1e-5 for loss in losses)


@pytest.mark.parametrize("fill", [0.0, 3.0])
def test_constant_features_give_finite_losses_and_gradients(fill: float) -> None:
    pair = Pair(torch.full((B, D, H, W), fill), torch.full((B, D, H, W), fill, requires_grad=True))
    total = channel_distillation(pair) + spatial_distillation(pair)
    total = total + sum(affinity_distillation(pair, shift, form) for shift in (0, 1) for form in FORMS)
    total.backward()
    assert math.isfinite(total.item())
    assert pair.student.grad is not None
    assert pair.student.grad.isfinite().all()
