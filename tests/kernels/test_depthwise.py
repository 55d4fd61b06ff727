"""Hastened depthwise convolutions: PyTorch's own results and gradients, under the same names."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from understudy.kernels.depthwise import prepare_convolutions

CASES = list(product((3, 5), (1, 2), (7, 8), (False, True)))


def gradients(network: nn.Module, x: torch.Tensor, bf16: bool) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        y = network(x)
    (y.float() * torch.arange(y.numel()).reshape(y.shape) / y.numel()).sum().backward()
    return [y.detach(), *(t.grad for t in (x, *network.parameters()) if t.grad is not None)]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "side", "same"), CASES)
def test_results_and_gradients_are_pytorchs(
    kernel: int, stride: int, side: int, same: bool, bf16: bool
) -> None:
    torch.manual_seed(0)
    if same:
        conv: nn.Module = Conv2dSame(6, 6, kernel, stride, groups=6, bias=False)
    else:
        conv = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6)
    plain = nn.Sequential(conv).to(memory_format=torch.channels_last)
    quick = copy.deepcopy(plain)
    prepare_convolutions(quick)
    assert type(quick[0]) is not type(plain[0])
    assert list(quick.state_dict()) == list(plain.state_dict())
    x = torch.randn(2, 6, side, side + 3).contiguous(memory_format=torch.channels_last)
    for theirs, ours in zip(gradients(plain, x, bf16), gradients(quick, x, bf16), strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.allclose(ours.float(), theirs.float(), rtol=0.02, atol=0.02 if bf16 else 1e-5)


@pytest.mark.parametrize(
    "conv",
    [nn.Conv2d(4, 4, 3), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(4, 4, 3, dilation=2, groups=4)],
    ids=["dense", "two outputs a channel", "dilated"],
)
def test_other_convolutions_stay(conv: nn.Module) -> None:
    network = nn.Sequential(conv)
    prepare_convolutions(network)
    assert network[0] is conv
