from __future__ import annotations

import pytest
import torch

from understudy import InputError
from understudy.distill.reverse import reverse_student
from understudy.types import Level

WRN = [Level(256, 4), Level(512, 8), Level(1024, 16)]
LITE = [Level(40, 8), Level(112, 16), Level(320, 32)]


def shapes_of(student: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in student.named_parameters() if p.ndim == 4}


def test_for_a_wide_resnet_the_structure_is_the_released_one() -> None:
    with torch.device("meta"):
        student = reverse_student("wide_resnet50_2.tv_in1k", WRN, signed=False)
    shapes = shapes_of(student)
    paths, condense, stages = (
        student.bottleneck.to_coarsest,
        student.bottleneck.condense,
        student.decoder.stages,
    )
    assert [[tuple(c[0].weight.shape[:2]) for c in path] for path in paths] == [
        [(512, 256), (1024, 512)],
        [(1024, 512)],
        [],
    ]
    assert len(condense) == 3
    assert shapes["bottleneck.condense.0.body.0.weight"] == (1024, 3072, 1, 1)
    assert shapes["bottleneck.condense.0.body.3.weight"] == (1024, 1024, 3, 3)
    assert shapes["bottleneck.condense.0.body.6.weight"] == (2048, 1024, 1, 1)
    assert [len(s) for s in stages] == [3, 4, 6]
    assert shapes["decoder.stages.0.0.body.3.weight"] == (512, 512, 2, 2)  # transposed, 2x2
    assert shapes["decoder.stages.0.0.shortcut.0.weight"] == (2048, 1024, 2, 2)
    assert all(isinstance(stage[-1].last, torch.nn.ReLU) for stage in stages)


def test_a_small_resnet_takes_basic_blocks() -> None:
    student = reverse_student("resnet18", [Level(64, 4), Level(128, 8), Level(256, 16)], signed=False)
    assert [len(s) for s in student.decoder.stages] == [2, 2, 2]
    assert student.bottleneck.condense[0].body[0].kernel_size == (3, 3)


@pytest.mark.parametrize(
    "levels",
    [
        LITE,
        [Level(5, 8)],
        [Level(4, 4), Level(6, 16)],  # a level left out
        [Level(6, 14), Level(6, 14), Level(8, 14)],  # a plain transformer: one stride for all
        [Level(2, 2), Level(3, 4), Level(4, 8), Level(5, 16), Level(6, 32)],
    ],
)
@pytest.mark.parametrize("side", [64, 72, 33])
def test_pairs_match_for_any_channels_strides_and_odd_sizes(levels: list[Level], side: int) -> None:
    grids = [-(-side // level.stride) for level in levels]
    features = [torch.randn(2, lv.channels, g, g) for lv, g in zip(levels, grids, strict=True)]
    student = reverse_student("any", levels, signed=True)
    pairs = student(torch.empty(2, 3, side, side), features)
    assert [p.student.shape for p in pairs] == [f.shape for f in features]
    assert all(p.teacher is f for p, f in zip(pairs, features, strict=True))


def test_strides_that_do_not_double_are_refused() -> None:
    with pytest.raises(InputError, match="stride 12 cannot follow one of 8"):
        reverse_student("any", [Level(4, 8), Level(4, 12)], signed=True)


@pytest.mark.parametrize("signed", [True, False])
def test_the_student_of_a_signed_teacher_can_be_negative(signed: bool) -> None:
    levels = [Level(8, 8), Level(8, 16)]
    features = [torch.randn(4, 8, 8, 8), torch.randn(4, 8, 4, 4)]
    pairs = reverse_student("any", levels, signed=signed)(torch.empty(0), features)
    assert any(bool((p.student < 0).any()) for p in pairs) is signed


def test_plug_ins_stand_in_line_behind_every_stage() -> None:
    class Zero(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0

    levels = [Level(8, 8), Level(16, 16)]
    student = reverse_student("any", levels, signed=True, plug_ins=[torch.nn.Identity(), Zero()])
    a, b = (
        student(torch.empty(0), [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)])[0].student.detach()
        for _ in range(2)
    )
    # The coarse stage hands on zeros, so the fine one can no longer tell the inputs apart,
    assert torch.allclose(a, b)
    student.decoder.in_line = False  # unless the plug-in stands beside the line.
    a, b = (
        student(torch.empty(0), [torch.randn(2, 8, 8, 8), torch.randn(2, 16, 4, 4)])[0].student.detach()
        for _ in range(2)
    )
    assert not torch.allclose(a, b)
