"""The dual student: a local and a global reverse student side by side.

This is a *reconstruction from the abstract* of contextual affinity distillation (arXiv:2307.03101).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from understudy.distill.reverse import ReverseStudent, initialise, reverse_student
from understudy.distill.teacher import Teacher
from understudy.types import Features, Level, Pair

__all__ = ["Condensing", "DualStudent", "GlobalContextBlock", "dual_student"]

Condensing = Literal["code", "channels"]


class GlobalContextBlock(nn.Module):
    """Global context condensing block, GCCB: (B, C, h, w) embedding -> same shape, through a narrow code.

    Args:
        channels: C.
        width: channels of the code.
        grid: (h, w) of the embedding at the picture size of the model; any other grid is pooled to it.
        condensing: ``code`` condenses the whole grid to one 1x1 code, so that every position is rebuilt from
            the same summary of the picture; ``channels`` keeps the grid and condenses only the channels.
    """

    def __init__(
        self, channels: int, width: int, grid: tuple[int, int], condensing: Condensing = "code"
    ) -> None:
        super().__init__()
        self.grid = grid
        window = grid if condensing == "code" else (1, 1)
        self.condense = nn.Sequential(
            nn.Conv2d(channels, width, window, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.expand = nn.Sequential(
            nn.ConvTranspose2d(width, channels, window, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        initialise(self)

    def forward(self, embedding: Tensor) -> Tensor:  # noqa: D102
        here = (embedding.shape[-2], embedding.shape[-1])
        expanded = self.expand(self.condense(F.adaptive_avg_pool2d(embedding, self.grid)))
        return F.adaptive_avg_pool2d(expanded, here)


class DualStudent(nn.Module):
    """Dual student: Features -> Pairs of the local student, one a level, then Pairs of the global student.

    Args:
        local_student: a reverse student.
        global_student: a reverse student whose embedding passes through a :class:`GlobalContextBlock`.
    """

    sees_images = False

    def __init__(self, local_student: ReverseStudent, global_student: ReverseStudent) -> None:
        super().__init__()
        self.local_student = local_student
        self.global_student = global_student

    def forward(self, images: Tensor | None, features: Features) -> list[Pair]:  # noqa: D102
        local_pairs: list[Pair] = self.local_student(images, features)
        global_pairs: list[Pair] = self.global_student(images, features)
        return local_pairs + global_pairs


def dual_student(teacher: Teacher, width: int, condensing: Condensing) -> DualStudent:
    """Build both students for a teacher.

    Args:
        teacher: the teacher.
        width: channels of the code of the global student.
        condensing: how the global student condenses; see :class:`GlobalContextBlock`.
    """
    grid = _embedding_grid(teacher.levels, teacher.image_size)
    signed = teacher.is_signed()
    return DualStudent(
        reverse_student(teacher.name, teacher.levels, signed=signed),
        reverse_student(
            teacher.name,
            teacher.levels,
            signed=signed,
            context=lambda channels: GlobalContextBlock(channels, width, grid, condensing),
        ),
    )


def _embedding_grid(levels: Sequence[Level], image_size: int) -> tuple[int, int]:
    """Grid of the bottleneck's output: half the grid of the coarsest level, both rounded up."""
    side = -(-image_size // levels[-1].stride)
    return (-(-side // 2),) * 2
