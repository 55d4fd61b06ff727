"""Decoder: embedding -> Features, coarse to fine, each level handed on to the next finer stage."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from understudy.distill.blocks import initialise, stage
from understudy.distill.bottleneck import stride_steps
from understudy.types import Features, Level

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """(B, c_in, h, w) embedding -> Features of the teacher's shapes.

    One stage of residual blocks a level, without skip connections (RD, arXiv:2201.10703). A module
    can be plugged in behind every stage (SNL, arXiv:2402.17091, figure 4).

    Args:
        c_in: channels of the embedding, which stands on half the coarsest level's grid.
        levels: the teacher's levels, finest first.
        inner: see :class:`understudy.distill.blocks.Block`.
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
