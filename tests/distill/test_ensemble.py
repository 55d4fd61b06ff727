"""An ensemble's regression, its error and its variance: the paper's formulas, and what they promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from understudy.distill.ensemble import (
    EnsembleMap,
    EnsembleStudent,
    FinestLevels,
    Standardiser,
    StridedStudent,
    mean_error,
    predictive_variance,
    summed_squares,
)
from understudy.types import Level, Pair

LEVELS = [Level(5, 8), Level(7, 16)]


def drawn(students: int, shape: tuple[int, ...] = (2, 6, 4, 5)) -> list[Pair]:
    target = torch.randn(shape)
    return [Pair(target, torch.randn(shape)) for _ in range(students)]


def ensemble(students: int = 3) -> EnsembleStudent:
    own = [StridedStudent(LEVELS, 4) for _ in range(students)]
    return EnsembleStudent(FinestLevels(2), own, [level.channels for level in LEVELS])


def test_the_loss_is_the_squared_length_of_the_difference_averaged_over_the_cells() -> None:
    (pair,) = drawn(1)
    expected = sum(
        sum(float(pair.student[b, d, i, j] - pair.teacher[b, d, i, j]) ** 2 for d in range(6))
        for b in range(2)
        for i in range(4)
        for j in range(5)
    ) / (2 * 4 * 5)
    assert float(summed_squares(pair)) == pytest.approx(expected, rel=1e-5)


def test_error_and_variance_are_the_papers() -> None:
    pairs = drawn(3)
    own = torch.stack([pair.student for pair in pairs]).double()
    target, mean = pairs[0].teacher.double(), own.mean(0)
    error = ((mean - target) ** 2).sum(1, keepdim=True)
    variance = (own**2).sum(2, keepdim=True).mean(0) - (mean**2).sum(1, keepdim=True)
    torch.testing.assert_close(mean_error(pairs).double(), error, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(predictive_variance(pairs).double(), variance, rtol=1e-4, atol=1e-5)


def test_students_that_agree_have_no_variance_and_none_has_less() -> None:
    (pair,) = drawn(1)
    assert not predictive_variance([pair] * 4).any()
    for scale in (1e-3, 1.0, 1e3):  # as a difference of two sums it would fall below zero
        near = [pair._replace(student=scale * (100 + 1e-3 * torch.randn(2, 6, 4, 5))) for _ in range(3)]
        assert (predictive_variance(near) >= 0).all()


@pytest.mark.parametrize("of", ["error", "variance"])
def test_a_map_is_its_level_enlarged(of: str) -> None:
    pairs = drawn(2, (1, 3, 4, 4))
    level = mean_error(pairs) if of == "error" else predictive_variance(pairs)
    found = EnsembleMap(of)(pairs, (7, 7))  # type: ignore[arg-type]
    torch.testing.assert_close(found[..., ::2, ::2], level)


def test_standardised_features_have_mean_0_and_deviation_1() -> None:
    cells = torch.randn(4000, 5) * torch.tensor([0.01, 1.0, 30.0, 2.0, 0.5]) + torch.arange(5.0) * 100
    standard = Standardiser(5)
    assert torch.equal(standard(cells.T[None, :, :, None]), cells.T[None, :, :, None])  # not yet fitted
    wide = cells.double()
    standard.fit(torch.stack([torch.full((5,), 4000.0), wide.sum(0), wide.square().sum(0)]))
    found = standard(cells.T[None, :, :, None])[0, :, :, 0]
    torch.testing.assert_close(found.mean(1), torch.zeros(5), atol=2e-3, rtol=0)
    torch.testing.assert_close(found.std(1, correction=0), torch.ones(5), atol=2e-3, rtol=0)


def test_a_channel_that_is_constant_on_good_pictures_is_not_blown_up() -> None:
    cells = torch.stack([torch.randn(100), torch.full((100,), 3.0)], 1).double()
    standard = Standardiser(2)
    standard.fit(torch.stack([torch.full((2,), 100.0), cells.sum(0), cells.square().sum(0)]))
    assert standard.deviation[1] == pytest.approx(1e-3 * float(standard.deviation[0]) / 2, rel=0.01)
    standard.fit(torch.zeros(3, 2, dtype=torch.float64))  # no cell counted
    assert standard.deviation.tolist() == [1, 1]


def test_pairs_are_those_of_one_student_after_the_other() -> None:
    student, images = ensemble(), torch.randn(2, 3, 32, 48)
    features = [torch.randn(2, 5, 4, 6), torch.randn(2, 7, 2, 3), torch.randn(2, 9, 1, 2)]
    student.fit([torch.tensor([[1.0] * d, [5.0] * d, [29.0] * d]) for d in (5, 7)])  # mean 5, deviation 2
    pairs = student(images, features)
    assert [pair.student.shape for pair in pairs] == [(2, 5, 4, 6), (2, 7, 2, 3)] * 3
    for i, pair in enumerate(pairs):
        torch.testing.assert_close(pair.teacher, (features[i % 2] - 5) / 2)
    first = [pair.student for pair in pairs[::2]]
    assert not torch.allclose(first[0], first[1])


def test_each_cell_of_a_student_sees_its_patch_alone() -> None:
    student = StridedStudent([Level(3, 8)], 4).double()
    images = torch.randn(1, 3, 96, 96, dtype=torch.float64, requires_grad=True)
    (level,) = student(images, [(12, 12)])
    (slope,) = torch.autograd.grad(level[0, :, 6, 6].sum(), images)
    rows = slope[0].abs().sum((0, 2)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 31


def test_batch_normalisation_follows_each_convolution_but_the_last_ones() -> None:
    plain, student = (StridedStudent(LEVELS, 4, normalised=on) for on in (False, True))
    convolutions = [m for m in student.stages.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.bias is None for m in convolutions)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in student.modules()) == len(convolutions) == 6
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    images = 50 * torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert student.stages[0](images).std() < 2 < plain.stages[0](images).std()


@pytest.mark.parametrize(("stride", "size", "grid"), [(14, 70, (5, 5)), (2, 10, (5, 5)), (8, 50, (7, 7))])
def test_a_student_gives_the_grid_of_the_teacher(stride: int, size: int, grid: tuple[int, int]) -> None:
    (found,) = StridedStudent([Level(3, stride)], 2)(torch.randn(1, 3, size, size), [grid])
    assert found.shape == (1, 3, *grid)


def test_the_loss_of_a_student_has_no_gradient_in_another() -> None:
    student = ensemble(2)
    features = [torch.randn(1, 5, 4, 4), torch.randn(1, 7, 2, 2)]
    pairs = student(torch.randn(1, 3, 32, 32), features)
    sum((summed_squares(pair) for pair in pairs[:2]), torch.zeros(())).backward()
    grads: list[list[Tensor | None]] = [[p.grad for p in each.parameters()] for each in student.students]
    assert all(grad is not None and grad.any() for grad in grads[0])
    assert all(grad is None for grad in grads[1])
