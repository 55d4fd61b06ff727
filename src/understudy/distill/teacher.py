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
    """A frozen timm backbone, (B, 3, S, S) normalised images -> one (B, D, S/stride, S/stride) a level.

    Args:
        name: a timm model name, such as ``wide_resnet50_2``.
        strides: levels by their stride, finest first. A stride named m times, for a backbone that has
            it more than once (a plain transformer), takes m of those levels, evenly spread.
        image_size: S; some transformers are built for one size.

    Raises:
        InputError: timm has no such model, it has no feature level of that stride, or it cannot take
            pictures of that size.

    The architecture starts with random weights; :func:`understudy.distill.weights.load_teacher`
    fills it.
    """

    def __init__(self, name: str, strides: Sequence[int], image_size: int = 256) -> None:
        super().__init__()
        self.name = name
        self.image_size = image_size
        known = _feature_info(name, image_size)
        chosen = _choose(name, known, strides)
        self.levels = [known[i] for i in chosen]
        self.backbone = _create(name, image_size, out_indices=chosen)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Features:  # noqa: D102
        with torch.no_grad():
            found = self.backbone(images)
        pairs = zip(self.levels, found, strict=True)
        return [f if f.shape[1] == level.channels else f.permute(0, 3, 1, 2) for level, f in pairs]

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever is asked: keeps BatchNorm statistics fixed."""
        return super().train(False)

    def is_signed(self) -> bool:
        """Whether features can be negative, seen on one picture of noise.

        A ResNet's levels end in a ReLU; the embedded teacher's are linear. The student must end alike.
        """
        side = self.image_size
        noise = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        return any(bool((level < 0).any()) for level in self(noise))


def _create(name: str, image_size: int, **options: Any) -> nn.Module:
    """Build the feature network, for one picture size where it needs one."""
    try:
        return timm.create_model(name, pretrained=False, features_only=True, img_size=image_size, **options)
    except TypeError:  # most backbones take any size and know no such argument
        return timm.create_model(name, pretrained=False, features_only=True, **options)


def _feature_info(name: str, image_size: int) -> list[Level]:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0]}*")[:5]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise InputError(f"timm knows no model named {name!r}{hint}")
    with torch.device("meta"):  # shapes alone: no memory, no initialisation
        try:
            network: Any = _create(name, image_size)
            network.eval()(torch.empty(1, 3, image_size, image_size))
            info = network.feature_info
        except Exception as error:  # whatever a backbone finds wrong with the size
            reason = str(error).partition("\n")[0]
            raise InputError(f"{name} gives no features of {image_size}-pixel pictures: {reason}") from error
    return [Level(c, r) for c, r in zip(info.channels(), info.reduction(), strict=True)]


def _choose(name: str, known: Sequence[Level], strides: Sequence[int]) -> tuple[int, ...]:
    """Which of a backbone's levels have the asked strides."""
    if list(strides) != sorted(strides) or not strides:
        raise InputError(f"strides are named from fine to coarse, such as 8,16,32, got {list(strides)}")
    chosen: list[int] = []
    for stride in dict.fromkeys(strides):
        have = [i for i, level in enumerate(known) if level.stride == stride]
        want = list(strides).count(stride)
        if len(have) < want:
            raise InputError(
                f"{name} has no level of stride {stride}{' left' if have else ''}; "
                f"it has {[level.stride for level in known]}"
            )
        chosen += [have[len(have) * (k + 1) // want - 1] for k in range(want)]
    return tuple(chosen)
