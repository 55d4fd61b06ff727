"""Residual blocks of the reverse students: like ResNet's, and their mirror that enlarges.

Structure as in RD, arXiv:2201.10703: where an encoder block halves the grid with a strided 3x3
convolution, a decoder block doubles it with a 2x2 transposed convolution.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Block", "conv_bn_relu", "initialise", "stage"]


def conv_bn_relu(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """(B, c_in, H, W) -> (B, c_out, H/stride, W/stride), rounded up; not negative."""
    return nn.Sequential(_conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out), nn.ReLU())


class Block(nn.Module):
    """(B, c_in, H, W) -> (B, c_out, H', W'); H' = H·up or H/down, rounded up.

    Args:
        c_in: channels in.
        c_out: channels out.
        inner: share of ``c_out`` that the 3x3 convolution of a bottleneck block works on (0.5 in
            a WideResNet-50-2, 0.25 in a ResNet-50); ``None`` for a basic block of two 3x3.
        up: enlarges the grid by this factor with a transposed convolution.
        down: shrinks it by this stride.
        linear: leave out the last ReLU, so that the output can be negative.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        inner: float | None,
        *,
        up: int = 1,
        down: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        if inner is None:
            body = [_resample(c_in, c_out, up, down), nn.BatchNorm2d(c_out), nn.ReLU()]
            body += [_conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)]
        else:
            width = max(1, round(c_out * inner))
            body = [_conv1x1(c_in, width), nn.BatchNorm2d(width), nn.ReLU()]
            body += [_resample(width, width, up, down), nn.BatchNorm2d(width), nn.ReLU()]
            body += [_conv1x1(width, c_out), nn.BatchNorm2d(c_out)]
        self.body = nn.Sequential(*body)
        self.shortcut: nn.Module = nn.Identity()
        if up > 1:
            resize: nn.Module = nn.ConvTranspose2d(c_in, c_out, up, up, bias=False)
            self.shortcut = nn.Sequential(resize, nn.BatchNorm2d(c_out))
        elif down > 1 or c_in != c_out:
            self.shortcut = nn.Sequential(_conv1x1(c_in, c_out, down), nn.BatchNorm2d(c_out))
        self.last: nn.Module = nn.Identity() if linear else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        out: Tensor = self.last(self.body(x) + self.shortcut(x))
        return out


def stage(
    c_in: int,
    c_out: int,
    inner: float | None,
    depth: int,
    *,
    up: int = 1,
    down: int = 1,
    linear: bool = False,
) -> nn.Sequential:
    """Chain ``depth`` blocks: the first one changes grid and channels, the last may be linear."""
    blocks = []
    for i in range(depth):
        first, last = i == 0, i == depth - 1
        blocks.append(
            Block(
                c_in if first else c_out,
                c_out,
                inner,
                up=up if first else 1,
                down=down if first else 1,
                linear=linear and last,
            )
        )
    return nn.Sequential(*blocks)


def initialise(module: nn.Module) -> None:
    """Kaiming-normal (fan out) for convolutions, as RD does; transposed ones keep torch's default."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def _conv3x3(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)


def _conv1x1(c_in: int, c_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 1, stride, bias=False)


def _resample(c_in: int, c_out: int, up: int, down: int) -> nn.Module:
    if up > 1:
        return nn.ConvTranspose2d(c_in, c_out, up, up, bias=False)
    return _conv3x3(c_in, c_out, down)
