"""The reverse student of RD, arXiv:2201.10703: features -> bottleneck -> decoder -> features.

Its parts are residual blocks, the one-class bottleneck (OCBE), and the decoder. Where a block of the teacher
halves the grid with a strided 3x3 convolution, a block of the decoder doubles it with a 2x2 transposed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.types import Features, Level, Pair

__all__ = [
    "Block",
    "Blueprint",
    "Decoder",
    "OneClassBottleneck",
    "ReverseStudent",
    "blueprint_for",
    "conv_bn_relu",
    "initialise",
    "reverse_student",
    "stage",
    "stride_steps",
]


def conv_bn_relu(c_in: int, c_out: int, stride: int) -> nn.Sequential:
    """Build a layer (B, c_in, H, W) -> (B, c_out, H/stride, W/stride), rounded up; output is at least 0."""
    return nn.Sequential(_conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out), nn.ReLU())


class Block(nn.Module):
    """Residual block: (B, c_in, H, W) -> (B, c_out, H', W') with H' = H·up or H/down, rounded up.

    Args:
        c_in: channels of the input.
        c_out: channels of the output.
        inner: share of ``c_out`` on which the 3x3 convolution of a bottleneck block works, such as 0.5 in a
            WideResNet-50-2 and 0.25 in a ResNet-50; ``None`` for a basic block of two 3x3 convolutions.
        up: factor by which a transposed convolution enlarges the grid.
        down: stride by which a convolution shrinks the grid.
        linear: whether to leave out the last ReLU, so that the output can be negative.
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
    """Chain ``depth`` blocks; the first one changes grid and channels, and only the last can be linear.

    The arguments are those of :class:`Block`.
    """
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
    """Initialise convolutions as RD does, by Kaiming-normal (fan out); transposed ones stay as they are."""
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


class OneClassBottleneck(nn.Module):
    """One-class bottleneck, OCBE: Features -> (B, 2·D_K, H_K/2, W_K/2), where K is the coarsest level.

    First, strided convolutions bring every level to the coarsest grid; their widths are those of the levels
    that they pass on the way. Then residual blocks condense the stack of levels. RD, arXiv:2201.10703,
    section 3.3. For a WideResNet-50-2 this is the released structure: 256 -> 512 -> 1024, 512 -> 1024, 1024,
    stacked to 3072 -> 2048.

    Args:
        levels: the teacher's levels, finest first.
        inner: kind of block; see :class:`Block`.
        depth: number of residual blocks.

    Raises:
        InputError: a stride is not the one before it times a power of two.
    """

    def __init__(self, levels: Sequence[Level], inner: float | None, depth: int) -> None:
        super().__init__()
        self.to_coarsest = nn.ModuleList(_path_down(levels, k) for k in range(len(levels)))
        width = levels[-1].channels
        self.channels = 2 * width
        self.condense = stage(len(levels) * width, self.channels, inner, depth, down=2)
        initialise(self)

    def forward(self, features: Features) -> Tensor:  # noqa: D102
        paths = zip(self.to_coarsest, features, strict=True)
        embedding: Tensor = self.condense(torch.cat([path(f) for path, f in paths], dim=1))
        return embedding


def stride_steps(levels: Sequence[Level]) -> list[int]:
    """Factors by which each level is coarser than the one before it: strides 8, 16, 32 -> [2, 2].

    Raises:
        InputError: a factor is not a power of two.
    """
    steps = []
    for fine, coarse in pairwise(levels):
        step, rest = divmod(coarse.stride, fine.stride)
        if rest or step & (step - 1):
            raise InputError(
                f"a level of stride {coarse.stride} cannot follow one of {fine.stride}: "
                "choose strides that double, such as 4,8,16"
            )
        steps.append(step)
    return steps


def _path_down(levels: Sequence[Level], k: int) -> nn.Sequential:
    """Build the convolutions that bring level k to the grid and the channels of the coarsest level."""
    path = nn.Sequential()
    channels = levels[k].channels
    for (width, _), step in zip(levels[k + 1 :], stride_steps(levels)[k:], strict=True):
        for _ in range(step.bit_length() - 1):
            path.append(conv_bn_relu(channels, width, stride=2))
            channels = width
    if channels != levels[-1].channels:  # levels of one stride, as in a plain transformer
        path.append(conv_bn_relu(channels, levels[-1].channels, stride=1))
    return path


class Decoder(nn.Module):
    """Decoder: (B, c_in, h, w) embedding -> Features with the shapes of the teacher's.

    It has one stage of residual blocks a level and no skip connections (RD, arXiv:2201.10703). A module can
    be plugged in behind every stage (SNL, arXiv:2402.17091, figure 4).

    Args:
        c_in: channels of the embedding, whose grid is half the grid of the coarsest level.
        levels: the teacher's levels, finest first.
        inner: kind of block; see :class:`Block`.
        depths: residual blocks of each stage, coarsest first.
        linear: whether the teacher's features can be negative; then every stage ends without a ReLU.
        plug_ins: one module (B, D, H, W) -> (B, D, H, W) a level, finest first; none by default.
        in_line: whether the next stage reads the output of a plug-in, or else its input.
    """

    def __init__(
        self,
        c_in: int,
        levels: Sequence[Level],
        inner: float | None,
        depths: Sequence[int],
        *,
        linear: bool,
        plug_ins: Sequence[nn.Module] = (),
        in_line: bool = True,
    ) -> None:
        super().__init__()
        self.in_line = in_line
        self.stages = nn.ModuleList()
        enlarge = [*stride_steps(levels), 2]
        for level, up, depth in zip(reversed(levels), reversed(enlarge), depths, strict=True):
            stage_ = stage(c_in, level.channels, inner, depth, up=up, linear=linear)
            self.stages.append(stage_)
            c_in = level.channels
        initialise(self)
        self.plug_ins = nn.ModuleList(reversed(plug_ins or [nn.Identity() for _ in levels]))

    def forward(self, embedding: Tensor, like: Features) -> Features:
        """Decode to the grids of ``like``; where such a grid is odd, the doubled grid is cropped to it."""
        out: Features = []
        x = embedding
        grids = [f.shape[-2:] for f in reversed(like)]
        for stage_, plug_in, (h, w) in zip(self.stages, self.plug_ins, grids, strict=True):
            x = stage_(x)[..., :h, :w]
            out.append(plug_in(x))
            x = out[-1] if self.in_line else x
        return out[::-1]


@dataclass(frozen=True)
class Blueprint:
    """Kind and number of the blocks of a reverse student.

    Attributes:
        inner: kind of block; see :class:`Block`.
        condense: number of blocks of the bottleneck.
        decode: number of blocks of each stage of the decoder, coarsest first.
    """

    inner: float | None
    condense: int
    decode: tuple[int, ...]


# The structures of RD's release: the student has the same kind of block as its teacher.
_RELEASED = {
    "resnet18": Blueprint(None, 2, (2, 2, 2)),
    "resnet34": Blueprint(None, 3, (3, 4, 6)),
    "resnet50": Blueprint(0.25, 3, (3, 4, 6)),
    "wide_resnet50_2": Blueprint(0.5, 3, (3, 4, 6)),
}
_DERIVED = _RELEASED["wide_resnet50_2"]


def blueprint_for(teacher: str, levels: int) -> Blueprint:
    """Teacher and number of levels -> structure in RD's release; other teachers get WideResNet-50-2's."""
    found = _RELEASED.get(teacher.split(".")[0], _DERIVED)
    depths = (*found.decode, *found.decode[-1:] * levels)[:levels]
    return Blueprint(found.inner, found.condense, depths)


class ReverseStudent(nn.Module):
    """Reverse student: Features -> one Pair a level. RD, arXiv:2201.10703.

    Args:
        bottleneck: Features -> (B, C, h, w) embedding.
        decoder: embedding -> Features.
    """

    sees_images = False

    def __init__(self, bottleneck: nn.Module, decoder: Decoder) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.decoder = decoder

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:  # noqa: D102
        decoded = self.decoder(self.bottleneck(features), like=features)
        return [Pair(t, s) for t, s in zip(features, decoded, strict=True)]


def reverse_student(
    teacher_name: str,
    levels: Sequence[Level],
    *,
    signed: bool,
    plug_ins: Sequence[nn.Module] = (),
    in_line: bool = True,
    context: Callable[[int], nn.Module] | None = None,
) -> ReverseStudent:
    """Build the reverse student for a teacher.

    Args:
        teacher_name: timm name of the teacher, which decides the kind of block.
        levels: the teacher's levels, finest first.
        signed: whether the teacher's features can be negative.
        plug_ins: modules behind the stages of the decoder; see :class:`Decoder`.
        in_line: whether the next stage reads the output of a plug-in; see :class:`Decoder`.
        context: C -> module (B, C, h, w) -> same shape, put behind the bottleneck; none by default.
    """
    plan = blueprint_for(teacher_name, len(levels))
    bottleneck = OneClassBottleneck(levels, plan.inner, plan.condense)
    decoder = Decoder(
        bottleneck.channels,
        levels,
        plan.inner,
        plan.decode,
        linear=signed,
        plug_ins=plug_ins,
        in_line=in_line,
    )
    condense = nn.Sequential(bottleneck, context(bottleneck.channels)) if context else bottleneck
    return ReverseStudent(condense, decoder)
