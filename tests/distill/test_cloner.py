"""The cloner of MKD: its size, its shapes, and what a gradient passes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.cloner import Cloner, GuidedReLU
from understudy.types import Features, Level

BEFORE_POOLING = [Level(128, 2), Level(256, 4), Level(512, 8), Level(512, 16)]  # of a VGG-16


def features_like(levels: list[Level], side: int) -> Features:
    return [torch.rand(2, c, math.ceil(side / stride), math.ceil(side / stride)) for c, stride in levels]


def convolutions(cloner: Cloner) -> list[nn.Conv2d]:
    return [m for m in cloner.modules() if isinstance(m, nn.Conv2d)]


def test_for_a_vgg_16_it_has_the_papers_size_and_its_levels_are_those_behind_poolings_two_to_five() -> None:
    cloner, images = Cloner(BEFORE_POOLING, signed=False, pooled=True), torch.randn(2, 3, 128, 128)
    teacher = features_like(BEFORE_POOLING, 128)

    pairs = cloner(images, teacher)

    assert sum(p.numel() for p in cloner.parameters()) == 343_984
    shapes = [(2, 128, 32, 32), (2, 256, 16, 16), (2, 512, 8, 8), (2, 512, 4, 4)]
    assert [tuple(pair.teacher.shape) for pair in pairs] == shapes
    assert [tuple(pair.student.shape) for pair in pairs] == shapes
    for pair, before in zip(pairs, teacher, strict=True):
        assert torch.equal(pair.teacher, F.max_pool2d(before, 2))


def test_its_blocks_are_those_of_a_vgg_16() -> None:
    cloner = Cloner(BEFORE_POOLING, signed=False, pooled=True)
    widths = [
        [m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)] for block in cloner.blocks
    ]
    assert widths == [[16, 16], [16, 128], [16, 16, 256], [16, 16, 512], [16, 16, 512]]
    for block in cloner.blocks:
        kinds = [type(m) for m in block]
        assert kinds[-3:] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
        assert kinds[:-3] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * (len(kinds[:-3]) // 3)
    for conv in convolutions(cloner):
        assert (conv.kernel_size, conv.padding, conv.bias) == ((3, 3), (1, 1), None)
        most = math.sqrt(6 / (9 * (conv.in_channels + conv.out_channels)))  # Xavier-uniform
        assert conv.weight.abs().max() <= most
        assert float(conv.weight.detach().std()) == pytest.approx(most / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize(
    ("levels", "side", "widths"),
    [
        ([Level(40, 8), Level(112, 16), Level(320, 32)], 64, [16, 16, 40, 112, 320]),
        ([Level(64, 4), Level(128, 8)], 64, [16, 64, 128]),
        ([Level(8, 4), Level(9, 16)], 64, [16, 8, 16, 9]),  # a stride is left out
        ([Level(6, 16), Level(7, 16)], 32, [16, 16, 16, 6, 7]),  # of a plain transformer
        ([Level(6, 14), Level(7, 14)], 70, [16, 16, 16, 6, 7]),  # of a DINOv2
        ([Level(5, 8), Level(6, 16)], 50, [16, 16, 5, 6]),  # grids that are rounded up
    ],
)
def test_for_any_teacher_it_has_a_block_for_each_halving_and_the_teachers_shapes(
    levels: list[Level], side: int, widths: list[int]
) -> None:
    cloner, teacher = Cloner(levels, signed=False), features_like(levels, side)
    pairs = cloner(torch.randn(2, 3, side, side), teacher)
    last = [[m for m in block.modules() if isinstance(m, nn.Conv2d)][-1] for block in cloner.blocks]
    assert [conv.out_channels for conv in last] == widths
    assert {c.out_channels for c in convolutions(cloner) if c not in last} == {16}
    for pair, own in zip(pairs, teacher, strict=True):
        assert pair.teacher is own
        assert pair.student.shape == own.shape


@pytest.mark.parametrize("signed", [True, False])
def test_its_levels_are_negative_where_the_teachers_can_be_and_only_there(signed: bool) -> None:
    levels = [Level(8, 4), Level(12, 8)]
    pairs = Cloner(levels, signed=signed)(torch.randn(2, 3, 64, 64), features_like(levels, 64))
    assert [bool((pair.student < 0).any()) for pair in pairs] == [signed, signed]


def slope(relu: nn.Module, x: Tensor, above: Tensor) -> Tensor:
    given = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(relu(given), given, above)
    return found


def test_a_guided_relu_passes_positive_gradients_of_positive_outputs_and_none_else_in_eval_mode() -> None:
    x, above = torch.tensor([-1.0, -1.0, 0.0, 2.0, 2.0]), torch.tensor([3.0, -3.0, 3.0, 3.0, -3.0])
    guided = GuidedReLU()
    assert torch.equal(guided(x), F.relu(x))
    assert slope(guided.eval(), x, above).tolist() == [0, 0, 0, 3, 0]
    assert slope(guided.train(), x, above).tolist() == slope(nn.ReLU(), x, above).tolist() == [0, 0, 0, 3, -3]
    with torch.no_grad():
        assert torch.equal(guided.eval()(x), F.relu(x))
