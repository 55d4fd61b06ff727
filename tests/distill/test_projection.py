"""The student of RD++: its projectors, what it gives in training and afterwards, and the contrast term."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from understudy.distill.projection import ProjectedStudent, Projector, contrast, reconstruction
from understudy.distill.reverse import reverse_student
from understudy.distill.teacher import Teacher
from understudy.types import Features, Pair


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_resnet", (8, 16), 64)


class Brighter(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + 0.5


def student(teacher: Teacher, noise: nn.Module | None = None) -> ProjectedStudent:
    reverse = reverse_student(teacher.name, teacher.levels, signed=True)
    return ProjectedStudent(teacher, teacher.levels, reverse, noise or Brighter())


def test_projectors_have_the_releases_weights() -> None:
    """For the levels of a WideResNet-50-2."""
    projectors = [Projector(channels) for channels in (256, 512, 1024)]
    assert sum(p.numel() for each in projectors for p in each.parameters()) == 15_486_912
    kinds = [type(layer) for layer in projectors[0]]
    assert kinds == [nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU] * 4
    assert [layer.out_channels for layer in projectors[0] if isinstance(layer, nn.Conv2d)] == [
        128,
        64,
        128,
        256,
    ]
    assert projectors[0][2].negative_slope == 0.01
    assert not any(list(layer.parameters()) for layer in projectors[0] if not isinstance(layer, nn.Conv2d))
    assert {p.dtype for each in projectors for p in each.state_dict().values()} == {torch.float32}
    assert len(projectors[0].state_dict()) == 8  # no running statistics


@pytest.mark.parametrize("factor", [0.1, 7.0])
@pytest.mark.parametrize("training", [True, False])
def test_a_projection_does_not_depend_on_the_scale_of_a_feature(factor: float, training: bool) -> None:
    projector = Projector(8).train(training)
    for layer in projector:
        if isinstance(layer, nn.InstanceNorm2d):
            layer.eps = 1e-12
    features = torch.randn(2, 8, 6, 5)
    torch.testing.assert_close(projector(factor * features), projector(features), rtol=1e-4, atol=1e-5)


def test_a_narrow_level_has_a_projector_too() -> None:
    assert Projector(1)(torch.randn(2, 1, 3, 3)).shape == (2, 1, 3, 3)


def test_in_training_there_are_three_pairs_a_level(teacher: Teacher) -> None:
    one, images = student(teacher), torch.randn(2, 3, 64, 64)
    clean, noisy = teacher(images), teacher(images + 0.5)
    pairs = one(images, clean)

    def project(features: Features) -> Features:
        return [projector(f) for projector, f in zip(one.projectors, features, strict=True)]

    p, q = project(clean), project(noisy)
    rebuilt = [pair.student for pair in one.student(None, p)]
    expected = [*zip(clean, rebuilt, strict=True), *zip(p, q, strict=True), *zip(noisy, p, strict=True)]
    assert len(pairs) == len(expected) == 6
    for pair, (left, right) in zip(pairs, expected, strict=True):
        torch.testing.assert_close(pair.teacher, left)
        torch.testing.assert_close(pair.student, right)


def test_otherwise_there_is_one_pair_a_level_of_the_teachers_own_features_and_no_noise(
    teacher: Teacher,
) -> None:
    class Forbidden(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise AssertionError("noise was drawn")

    one, images = student(teacher, Forbidden()), torch.randn(2, 3, 64, 64)
    features = teacher(images)
    with torch.no_grad():
        statistics = one(images, features)  # as when statistics are recomputed
    for pairs in (statistics, one.eval()(images, features)):
        assert len(pairs) == 2
        assert all(pair.teacher is own for pair, own in zip(pairs, features, strict=True))


def test_the_teacher_is_no_part_of_the_student_and_copies_share_it(teacher: Teacher) -> None:
    one = student(teacher)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    own = {id(p) for p in one.parameters()} | {id(b) for b in one.buffers()}
    assert not own & {id(v) for v in (*teacher.parameters(), *teacher.buffers())}
    assert teacher not in one.modules()
    assert copy.deepcopy(one)._teacher.module is teacher
    images = torch.randn(2, 3, 64, 64)
    sum(pair.student.sum() for pair in one(images, teacher(images))).backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


def test_without_noise_there_is_nothing_to_reconstruct(teacher: Teacher) -> None:
    one, images = student(teacher, nn.Identity()), torch.randn(2, 3, 64, 64)
    pairs = one(images, teacher(images))[2:4]
    assert all(reconstruction(pair) == 0 for pair in pairs)


def test_reconstruction_teaches_by_both_of_its_sides(teacher: Teacher) -> None:
    one, images = student(teacher), torch.randn(2, 3, 64, 64)
    pair = one(images, teacher(images))[2]
    sides = torch.autograd.grad(reconstruction(pair), pair[:2])
    assert all(side.any() for side in sides)


def test_contrast_is_half_for_equal_features_and_nothing_below_a_cosine_of_half() -> None:
    same = torch.randn(3, 4, 5, 5)
    total = sum(contrast(Pair(same, 3 * same)) for _ in range(3))
    assert total.item() == pytest.approx(1.5, abs=1e-5)
    far = torch.randn(3, 4, 5, 5)
    assert contrast(Pair(same, far)) == 0
    near = same + 0.9 * far
    cosines = torch.cosine_similarity(same.flatten(1), near.flatten(1))
    assert contrast(Pair(same, near)).item() == pytest.approx(float((cosines - 0.5).mean()), abs=1e-5)
    assert contrast(Pair(same, -same)) == 0
