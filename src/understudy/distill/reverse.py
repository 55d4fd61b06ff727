"""Residual blocks of the reverse students: like ResNet's, and their mirror that enlarges.

Structure as in RD, arXiv:2201.10703: where an encoder block halves the grid with a strided 3x3
convolution, a decoder block doubles it with a 2x2 transposed convolution.
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


class OneClassBottleneck(nn.Module):
    """OCBE: Features -> (B, 2·D_K, H_K/2, W_K/2), K the coarsest level.

    Multi-scale feature fusion brings every level to the coarsest grid by strided convolutions,
    whose widths are those of the levels passed on the way; one-class embedding then condenses the
    stack with residual blocks. RD, arXiv:2201.10703, section 3.3; for a WideResNet-50-2 this is
    the released structure: 256 -> 512 -> 1024, 512 -> 1024, 1024, together 3072 -> 2048.

    Args:
        levels: the teacher's levels, finest first.
        inner: see :class:`understudy.distill.reverse.Block`.
        depth: number of residual blocks.

    Raises:
        InputError: a stride is not a power-of-two multiple of the one before.
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
    """How much coarser each level is than the one before it: [8, 16, 32] -> [2, 2]."""
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
    """Halve level k again and again until it stands on the coarsest grid with its width."""
    path = nn.Sequential()
    channels = levels[k].channels
    for (width, _), step in zip(levels[k + 1 :], stride_steps(levels)[k:], strict=True):
        for _ in range(step.bit_length() - 1):
            path.append(conv_bn_relu(channels, width, stride=2))
            channels = width
    if channels != levels[-1].channels:  # levels of one stride (a plain transformer, say)
        path.append(conv_bn_relu(channels, levels[-1].channels, stride=1))
    return path


class Decoder(nn.Module):
    """(B, c_in, h, w) embedding -> Features of the teacher's shapes.

    One stage of residual blocks a level, without skip connections (RD, arXiv:2201.10703). A module
    can be plugged in behind every stage (SNL, arXiv:2402.17091, figure 4).

    Args:
        c_in: channels of the embedding, which stands on half the coarsest level's grid.
        levels: the teacher's levels, finest first.
        inner: see :class:`understudy.distill.reverse.Block`.
        depths: residual blocks a stage, coarsest first.
        linear: the teacher's features can be negative, so each stage's last ReLU is left out.
        plug_ins: one module (B, D, H, W) -> (B, D, H, W) a level, finest first; none by default.
        in_line: the next stage consumes what a plug-in gives, rather than what it was given.
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
        """Decode to the grids of ``like``; an odd grid is cut from the doubled one."""
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
    """What kind of blocks a reverse student has, and how many.

    Attributes:
        inner: see :class:`understudy.distill.reverse.Block`.
        condense: blocks of the bottleneck.
        decode: blocks of each decoder stage, coarsest first.
    """

    inner: float | None
    condense: int
    decode: tuple[int, ...]


# As RD's release has them: the student takes its teacher's kind of block.
_RELEASED = {
    "resnet18": Blueprint(None, 2, (2, 2, 2)),
    "resnet34": Blueprint(None, 3, (3, 4, 6)),
    "resnet50": Blueprint(0.25, 3, (3, 4, 6)),
    "wide_resnet50_2": Blueprint(0.5, 3, (3, 4, 6)),
}
_DERIVED = _RELEASED["wide_resnet50_2"]


def blueprint_for(teacher: str, levels: int) -> Blueprint:
    """The released structure where there is one, and its widest for every other teacher."""
    found = _RELEASED.get(teacher.split(".")[0], _DERIVED)
    depths = (*found.decode, *found.decode[-1:] * levels)[:levels]
    return Blueprint(found.inner, found.condense, depths)


class ReverseStudent(nn.Module):
    """Features -> one Pair a level. RD, arXiv:2201.10703."""

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
    """Build the student that fits a teacher.

    Args:
        teacher_name: timm name; decides the kind of block.
        levels: the teacher's levels, finest first.
        signed: the teacher's features can be negative.
        plug_ins: see :class:`understudy.distill.reverse.Decoder`.
        in_line: likewise.
        context: makes a module (B, C, h, w) -> same shape behind the bottleneck, given C; none by default.
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
