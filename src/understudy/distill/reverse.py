"""The reverse student: teacher features -> bottleneck -> decoder -> pairs. The pictures are not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from understudy.distill.bottleneck import OneClassBottleneck
from understudy.distill.decoder import Decoder
from understudy.types import Features, Level, Pair

__all__ = ["Blueprint", "ReverseStudent", "blueprint_for", "reverse_student"]


@dataclass(frozen=True)
class Blueprint:
    """What kind of blocks a reverse student has, and how many.

    Attributes:
        inner: see :class:`understudy.distill.blocks.Block`.
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
        plug_ins: see :class:`understudy.distill.decoder.Decoder`.
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
