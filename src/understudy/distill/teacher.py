"""Teacher: normalised images -> Features; frozen and always in eval mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.types import Features, Level

__all__ = ["EMBEDDED_TEACHER", "Teacher", "default_strides"]

EMBEDDED_TEACHER = "tf_efficientnet_lite0"


def default_strides(name: str) -> tuple[int, ...]:
    """The levels taken when none are asked for.

    The papers take the strides 4, 8, 16 of a ResNet; the embedded teacher detects more on real
    parts with 8, 16, 32 (docs/decisions/0003).
    """
    return (8, 16, 32) if name.startswith(EMBEDDED_TEACHER) else (4, 8, 16)


class Teacher(nn.Module):
    """A frozen timm backbone, (B, 3, H, W) normalised images -> one (B, D, H/stride, W/stride) a level.

    Args:
        name: a timm model name, such as ``wide_resnet50_2``.
        strides: levels by their stride, finest first.

    Raises:
        InputError: timm has no such model, or the model has no feature level of that stride.

    The architecture starts with random weights; :func:`understudy.distill.weights.load_teacher`
    fills it.
    """

    def __init__(self, name: str, strides: Sequence[int]) -> None:
        super().__init__()
        self.name = name
        self.levels = _levels(name, strides)
        self.backbone = timm.create_model(
            name, pretrained=False, features_only=True, out_indices=_indices(name, strides)
        )
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Features:  # noqa: D102
        with torch.no_grad():
            return list(self.backbone(images))

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever is asked: keeps BatchNorm statistics fixed."""
        return super().train(False)

    def is_signed(self) -> bool:
        """Whether features can be negative, seen on one picture of noise.

        A ResNet's levels end in a ReLU; the embedded teacher's are linear. The student must end alike.
        """
        noise = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
        return any(bool((level < 0).any()) for level in self(noise))


def _feature_info(name: str) -> list[Level]:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0]}*")[:5]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise InputError(f"timm knows no model named {name!r}{hint}")
    with torch.device("meta"):  # shapes alone: no memory, no initialisation
        try:
            info: Any = timm.create_model(name, pretrained=False, features_only=True).feature_info
        except (RuntimeError, AttributeError, TypeError, ValueError) as error:
            raise InputError(f"{name} gives no feature levels: {error}") from error
    return [Level(c, r) for c, r in zip(info.channels(), info.reduction(), strict=True)]


def _indices(name: str, strides: Sequence[int]) -> tuple[int, ...]:
    known = [level.stride for level in _feature_info(name)]
    if list(strides) != sorted(strides) or not strides:
        raise InputError(f"strides are named from fine to coarse, such as 8,16,32, got {list(strides)}")
    missing = [s for s in strides if s not in known]
    if missing:
        raise InputError(f"{name} has no level of stride {missing[0]}; it has {known}")
    return tuple(known.index(s) for s in strides)


def _levels(name: str, strides: Sequence[int]) -> list[Level]:
    info = _feature_info(name)
    return [info[i] for i in _indices(name, strides)]
