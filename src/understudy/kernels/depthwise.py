"""Depthwise convolutions whose backward pass in bfloat16 is quick on a processor.

PyTorch's own takes its slow path in two cases that make up half of a training step of a mobile backbone:
the gradient of the weights of kernels over 3x3, and the gradient of the input at a stride over 1. The
same sums are fast as a float32 gradient, and as a convolution of the spread-out gradient.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d

__all__ = ["prepare_convolutions"]


_LARGEST_QUICK_KERNEL = 3  # of bfloat16 weight gradients


def prepare_convolutions(network: nn.Module) -> None:
    """Replace every depthwise convolution of ``network`` by one with the same parameters, names and sums."""
    for name, module in list(network.named_modules()):
        if type(module) in (nn.Conv2d, Conv2dSame) and _can_be_replaced(cast(nn.Conv2d, module)):
            network.set_submodule(name, _DepthwiseConv2d(cast(nn.Conv2d, module)))


def _can_be_replaced(conv: nn.Conv2d) -> bool:
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.dilation == (1, 1)
        and conv.stride[0] == conv.stride[1]
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.padding[0] == conv.padding[1] < min(conv.kernel_size)
    )


class _DepthwiseConv2d(nn.Module):
    """(B, D, H, W) -> (B, D, H', W'), as the convolution that it takes over."""

    def __init__(self, taken_over: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = taken_over.weight, taken_over.bias
        self.stride, self.padding = int(taken_over.stride[0]), int(taken_over.padding[0])
        self.same = isinstance(taken_over, Conv2dSame)

    def forward(self, x: Tensor) -> Tensor:
        """In mixed-precision training on a processor, by the quick way; else by PyTorch's."""
        if self.same:
            x = pad_same(x, list(self.weight.shape[2:]), [self.stride] * 2)
        if x.device.type != "cpu" or not (torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
            return conv2d(x, self.weight, self.bias, self.stride, self.padding, groups=len(self.weight))
        y: Tensor = _Depthwise.apply(x, self.weight, self.stride, self.padding)
        return y if self.bias is None else y + self.bias.to(y.dtype).view(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    """Depthwise convolution without bias: forward as PyTorch's, backward as above."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        y = conv2d(x, weight, None, stride, padding, groups=len(weight))
        ctx.save_for_backward(x.to(y.dtype), weight)
        ctx.stride, ctx.padding = stride, padding
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, *_ = ctx.needs_input_grad
        of_x = _of_input(x, weight.to(x.dtype), gradient, ctx.stride, ctx.padding) if for_x else None
        of_weight = _of_weight(x, weight, gradient, ctx.stride, ctx.padding) if for_weight else None
        return of_x, of_weight, None, None


def _of_input(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    """The gradient, its pixels ``stride`` apart, convolved with the turned kernel."""
    margin = [k - 1 - padding for k in weight.shape[2:]]
    spread = gradient
    if stride > 1:  # wide enough that the convolution gives as many pixels as the input had
        sides = [have - free + padding for have, free in zip(x.shape[2:], margin, strict=True)]
        spread = gradient.new_zeros(*gradient.shape[:2], *sides)
        spread = spread.contiguous(memory_format=torch.channels_last)
        *_, h, w = gradient.shape
        spread[..., : h * stride : stride, : w * stride : stride] = gradient
    return conv2d(spread, weight.flip(2, 3), None, 1, margin, groups=len(weight))


def _of_weight(x: Tensor, weight: Tensor, gradient: Tensor, stride: int, padding: int) -> Tensor:
    dtype = x.dtype if max(weight.shape[2:]) <= _LARGEST_QUICK_KERNEL else torch.float32
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient.to(dtype),
        x.to(dtype),
        weight.to(dtype),
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [False, True, False],
    )[1]
    return found.to(weight.dtype)
