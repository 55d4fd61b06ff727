"""The forward student: the teacher's architecture from scratch, with modules behind its levels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from understudy import InputError
from understudy.distill.cram import CRAM
from understudy.distill.forward import ForwardStudent
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher


class Double(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def random_teacher(name: str = "resnet18", strides: tuple[int, ...] = (4, 8, 16), size: int = 64) -> Teacher:
    return load_teacher(name, strides, "random", size)[0]


def students(teacher: Teacher, **options: object) -> list[torch.Tensor]:
    torch.manual_seed(0)
    student = ForwardStudent(teacher, **options).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return [pair.student for pair in student(images, teacher(images))]


def test_it_gives_the_teachers_own_features_once_it_has_its_weights() -> None:
    teacher = random_teacher()
    student = ForwardStudent(teacher)
    student.network.load_state_dict(teacher.backbone.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for pair in student.eval()(images, teacher(images)):
        assert torch.equal(pair.teacher, pair.student)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "convnext_atto", "regnetx_002"])
def test_what_follows_consumes_a_module_in_line_and_not_one_beside(name: str) -> None:
    teacher = random_teacher(name)
    plain = students(teacher)
    beside = students(teacher, plug_ins=[Double() for _ in range(3)], in_line=False)
    in_line = students(teacher, plug_ins=[Double() for _ in range(3)])
    for a, b in zip(plain, beside, strict=True):
        assert torch.equal(2 * a, b)
    assert torch.equal(2 * plain[0], in_line[0])
    assert not torch.allclose(2 * plain[1], in_line[1])


def test_cram_with_zero_centers_changes_nothing() -> None:
    teacher = random_teacher()
    crams = [CRAM(level.channels, 5) for level in teacher.levels]
    for cram in crams:
        nn.init.zeros_(cram.centers)
    for a, b in zip(students(teacher), students(teacher, plug_ins=crams), strict=True):
        assert torch.allclose(a, b, atol=1e-5)  # what follows may add up in another order


def test_a_level_that_is_no_grid_refuses_a_module_in_line_and_takes_one_beside() -> None:
    teacher = random_teacher("vit_tiny_patch16_224", (16, 16), 64)
    with pytest.raises(InputError, match="set cram_in_line=false"):
        ForwardStudent(teacher, [Double(), Double()])
    assert len(students(teacher, plug_ins=[Double(), Double()], in_line=False)) == 2


def test_no_residual_branch_starts_closed() -> None:
    scales = [m.weight for m in ForwardStudent(random_teacher()).modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(scale.ne(0).all() for scale in scales)
