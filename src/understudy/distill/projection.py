"""The student of RD++, CVPR 2023: projectors before RD's student that learn to undo pseudo-anomalies.

What reaches the one-class bottleneck has passed a projector. In training the projectors also see a noisy copy
of each picture; what they make of it shall be what they make of the clean one, and unlike the noise itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn

from understudy.distill.losses import cosine_distance
from understudy.distill.teacher import Teacher
from understudy.distill.valid import batch_mean, unit_vectors
from understudy.types import Features, Level, Pair

__all__ = ["ProjectedStudent", "Projector", "contrast", "reconstruction"]

_SLOPE = 0.01  # of the leaky ReLU below zero
_MARGIN = 0.5  # a cosine up to this is far enough


class Projector(nn.Sequential):
    """Projector of a level: (B, C, H, W) -> same shape, by four 3x3 convolutions that narrow it to C/4.

    Each one is followed by instance normalisation and a leaky ReLU, so a feature's scale has no effect. The
    grid needs at least two cells.

    Args:
        channels: C.
    """

    rate_share = 0.2
    """Its learning rate by the student's: 0.001 where that is 0.005."""

    def __init__(self, channels: int) -> None:
        half, quarter = max(1, channels // 2), max(1, channels // 4)
        widths = (channels, half, quarter, half, channels)
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise(widths):
            layers += [
                nn.Conv2d(c_in, c_out, 3, padding=1),
                nn.InstanceNorm2d(c_out),
                nn.LeakyReLU(_SLOPE),
            ]
        super().__init__(*layers)


class _Held:
    """A module that another one uses and does not own: it is in no state, and copies of the user share it."""

    def __init__(self, module: Teacher) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class ProjectedStudent(nn.Module):
    """Student of RD++: (images, Features) -> Pairs of the teacher and the student, one a level.

    Where it is trained, 2K further pairs of K levels follow: the projected clean and noisy features, and then
    the teacher's noisy features and the projected clean ones.

    Args:
        teacher: sees the noisy pictures in training; it is neither trained nor saved with the student.
        levels: its levels, finest first.
        student: reverse student, which reads projected features.
        noise: (B, 3, H, W) normalised images -> noisy images.
    """

    sees_images = True

    def __init__(
        self, teacher: Teacher, levels: Sequence[Level], student: nn.Module, noise: nn.Module
    ) -> None:
        super().__init__()
        self._teacher = _Held(teacher)
        self.projectors = nn.ModuleList(Projector(level.channels) for level in levels)
        self.student = student
        self.noise = noise

    def forward(self, images: Tensor, features: Features) -> list[Pair]:  # noqa: D102
        clean = self._project(features)
        rebuilt: list[Pair] = self.student(images, clean)
        pairs = [pair._replace(teacher=own) for pair, own in zip(rebuilt, features, strict=True)]
        if not (self.training and torch.is_grad_enabled()):  # statistics alone need no noise
            return pairs
        noisy = self._teacher.module(self.noise(images))
        undone = [Pair(*each) for each in zip(clean, self._project(noisy), strict=True)]
        return [*pairs, *undone, *(Pair(*each) for each in zip(noisy, clean, strict=True))]

    def _project(self, features: Features) -> Features:
        return [projector(level) for projector, level in zip(self.projectors, features, strict=True)]


def contrast(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 0.5]: how far each picture's cosine as one vector is above 0.5."""
    one, other = (unit_vectors(f, "tensor", pair.valid) for f in pair[:2])
    return ((one * other).sum((1, 2)) - _MARGIN).clamp_min(0).mean()


def reconstruction(pair: Pair) -> Tensor:
    """(B, D, H, W) pair -> scalar in [0, 2]: mean of the cosine distance; both sides have a gradient.

    A kernel's :func:`understudy.distill.losses.channel_distillation` teaches the second side alone.
    """
    return batch_mean(cosine_distance(pair), pair.valid)
