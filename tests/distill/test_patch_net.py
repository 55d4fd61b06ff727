"""Patch nets: the same descriptors densely, strided and patch by patch; the losses of their teacher."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from understudy.distill.patch_net import (
    PatchNet,
    PatchNets,
    PatchTeacher,
    correlation_loss,
    knowledge_loss,
    margin_loss,
)


@pytest.mark.parametrize(("side", "weights", "stride"), [(17, 3.00, 1), (33, 1.62, 4), (65, 1.39, 8)])
def test_a_patch_becomes_one_descriptor_of_128_numbers(side: int, weights: float, stride: int) -> None:
    net = PatchNet(side)  # type: ignore[arg-type]
    assert net(torch.randn(2, 3, side, side)).shape == (2, 128, 1, 1)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(weights, abs=0.006)
    assert net.stride == stride


@torch.no_grad()
@pytest.mark.parametrize(("side", "size"), [(17, (12, 15)), (33, (21, 26)), (65, (35, 34))])
def test_the_dense_descriptor_of_a_pixel_is_that_of_the_patch_around_it(
    side: int, size: tuple[int, int]
) -> None:
    net, images = PatchNet(side), torch.randn(1, 3, *size)  # type: ignore[arg-type]
    dense = net.dense(images)
    assert dense.shape == (1, 128, *size)
    padded = F.pad(images, [side // 2] * 4, mode="reflect")
    for row, column in ((0, 0), (3, 7), (size[0] - 1, size[1] - 1)):
        patch = padded[..., row : row + side, column : column + side]
        torch.testing.assert_close(net(patch)[..., 0, 0], dense[..., row, column], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("side", "size"), [(33, (32, 24)), (33, (21, 26)), (65, (48, 40)), (65, (35, 34))])
def test_the_strided_descriptors_are_some_of_the_dense_ones(side: int, size: tuple[int, int]) -> None:
    net, images = PatchNet(side), torch.randn(2, 3, *size)  # type: ignore[arg-type]
    some = net.dense(images)[..., :: net.stride, :: net.stride]
    torch.testing.assert_close(net.strided(images), some, atol=1e-5, rtol=1e-5)


def test_a_leaky_relu_stands_behind_each_convolution_but_the_last() -> None:
    net = PatchNet(17)
    found = images = torch.randn(1, 3, 17, 17)
    for layer in list(net.layers)[:-1]:
        found = layer(found)
        found = torch.where(found > 0, found, 0.005 * found)
    torch.testing.assert_close(net(images), net.layers[-1](found))


def test_the_nets_of_a_teacher_are_frozen_and_give_what_the_students_give() -> None:
    teacher, images = PatchTeacher((33, 17), "pool", 5), torch.randn(1, 3, 20, 20)
    student = PatchNets((33, 17), "pool")
    student.load_state_dict(teacher.descriptors.state_dict())
    given, own = teacher(images, []), student(images)
    assert [each.shape[2:] for each in given] == [(5, 5), (20, 20)]
    assert all(torch.equal(a, b) for a, b in zip(given, own, strict=True))
    assert not any(each.requires_grad for each in given)
    assert all(each.requires_grad for each in own)
    assert [each.shape[2:] for each in PatchNets((33,), "dense")(images)] == [(20, 20)]


def test_the_knowledge_loss_is_the_mean_squared_distance() -> None:
    decoded, pooled = torch.randn(4, 7), torch.randn(4, 7)
    expected = sum(float(((d - p) ** 2).sum()) for d, p in zip(decoded, pooled, strict=True)) / 4
    assert float(knowledge_loss(decoded, pooled)) == pytest.approx(expected, rel=1e-5)


def test_the_margin_loss_is_the_papers_and_zero_if_the_margin_holds() -> None:
    anchor, positive, negative = (torch.randn(3, 8) for _ in range(3))
    lacks = []
    for a, p, n in zip(anchor, positive, negative, strict=True):
        near, far = ((a - p) ** 2).sum(), min(((a - n) ** 2).sum(), ((p - n) ** 2).sum())
        lacks.append(max(0.0, 10 + float(near - far)))
    assert float(margin_loss(anchor, positive, negative)) == pytest.approx(sum(lacks) / 3, rel=1e-5)
    far_away = anchor + 4  # squared distance 128
    assert margin_loss(anchor, anchor + 0.1, far_away) == 0
    assert margin_loss(anchor, anchor + 0.1, far_away, margin=130) > 0


def test_the_correlation_loss_is_the_papers() -> None:
    descriptors = torch.randn(20, 5) @ torch.randn(5, 5)
    c = torch.corrcoef(descriptors.T)
    expected = sum(float(c[i, j]) ** 2 for i in range(5) for j in range(i + 1, 5))
    assert float(correlation_loss(descriptors)) == pytest.approx(expected, rel=1e-4)
    scaled = descriptors * torch.tensor([1.0, 20.0, 0.1, -3.0, 1.0]) + 4
    assert float(correlation_loss(scaled)) == pytest.approx(expected, rel=1e-3)


def test_orthogonal_centred_dimensions_are_not_correlated() -> None:
    columns = torch.randn(30, 6, dtype=torch.float64)
    orthogonal, _ = torch.linalg.qr(torch.cat([torch.ones(30, 1, dtype=torch.float64), columns], 1))
    assert float(correlation_loss(orthogonal[:, 1:])) == pytest.approx(0, abs=1e-12)
