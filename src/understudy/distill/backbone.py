"""Timm backbones and their feature levels: list them, choose some, build the network, plug modules in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import timm
import torch
from torch import Tensor, nn

from understudy.errors import InputError
from understudy.types import Features, Level

__all__ = [
    "TEACHER_GROUP",
    "channels_first",
    "choose_levels",
    "create_network",
    "plug_in_behind_levels",
    "strides_of",
]

TEACHER_GROUP = "understudy.teachers"
"""Entry points of packages that bring teachers."""


def create_network(name: str, image_size: int, **options: Any) -> nn.Module:
    """Build a timm backbone that returns features, with random weights.

    Args:
        name: timm name.
        image_size: side of the square input in pixels; most backbones take any other size too.
        options: further arguments of ``timm.create_model``.
    """
    try:
        return timm.create_model(name, pretrained=False, features_only=True, img_size=image_size, **options)
    except TypeError:  # most backbones take any size and have no such argument
        return timm.create_model(name, pretrained=False, features_only=True, **options)


def choose_levels(name: str, strides: Sequence[int], image_size: int) -> tuple[list[Level], tuple[int, ...]]:
    """Choose the levels of a backbone that have the given strides.

    Args:
        name: timm name.
        strides: strides of the levels, finest first. A backbone can have several levels of one stride, as a
            plain transformer does. Give the stride m times to take m of them, evenly spread.
        image_size: side of the square input in pixels.

    Returns:
        The levels, and their indices in timm.

    Raises:
        InputError: timm has no such model, the model has no level of a stride, or it cannot take the size.
    """
    known = _feature_info(name, image_size)
    chosen = _spread_over(name, known, strides)
    return [known[i] for i in chosen], chosen


def strides_of(name: str, image_size: int) -> list[int]:
    """Strides of all levels of a backbone, finest first.

    Raises:
        InputError: timm has no such model, or it cannot take the size.
    """
    return [level.stride for level in _feature_info(name, image_size)]


def channels_first(found: Sequence[Tensor], levels: Sequence[Level]) -> Features:
    """Features, some of them (B, H, W, D) -> all of them (B, D, H, W)."""
    pairs = zip(levels, found, strict=True)
    return [f if f.shape[1] == level.channels else f.permute(0, 3, 1, 2) for level, f in pairs]


def plug_in_behind_levels(network: nn.Module, plug_ins: Sequence[nn.Module]) -> None:
    """Insert one module (B, D, H, W) -> (B, D, H, W) behind each level; the next stage reads its output.

    Raises:
        InputError: a level is not the output of a module, as with the tokens of a transformer.
    """
    if not hasattr(network, "feature_info"):
        raise InputError("nothing can be put in line behind means of blocks; set cram_in_line=false")
    names: list[str] = network.feature_info.module_name()  # type: ignore[operator, union-attr]
    channels: list[int] = network.feature_info.channels()  # type: ignore[operator, union-attr]
    modules = dict(network.named_modules())
    for name, width, plug_in in zip(names, channels, plug_ins, strict=True):
        # Some feature wrappers flatten module names: "stages.0" becomes "stages_0".
        at = next((n for n in (name, name.replace(".", "_")) if n in modules), None)
        if at is None or _output_channels(network, modules[at]) != width:
            raise InputError(
                f"nothing can be put in line behind level {name!r} of this backbone; set cram_in_line=false"
            )
        network.set_submodule(at, nn.Sequential(modules[at], plug_in))


def _output_channels(network: nn.Module, module: nn.Module) -> int | None:
    """Number of channels that a module of a network gives; ``None`` unless its output is (B, D, H, W)."""
    seen: list[tuple[int, ...]] = []
    handle = module.register_forward_hook(lambda _module, _given, out: seen.append(tuple(out.shape)))
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, 64, 64))
    except Exception:  # a backbone that needs another size can raise anything
        return None
    finally:
        handle.remove()
        network.train(training)
    return seen[0][1] if seen and len(seen[0]) == 4 else None


@cache
def _import_teachers() -> None:
    """Import the modules behind all entry points of the group, which may register architectures with timm."""
    for each in entry_points(group=TEACHER_GROUP):
        each.load()


@cache
def _feature_info(name: str, image_size: int) -> tuple[Level, ...]:
    """All levels of a backbone, finest first."""
    if not timm.is_model(name):
        _import_teachers()
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0]}*")[:5]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise InputError(f"timm knows no model named {name!r}{hint}")
    with torch.device("meta"):  # computes shapes only, without memory and initialisation
        try:
            network: Any = create_network(name, image_size)
            network.eval()(torch.empty(1, 3, image_size, image_size))
            info = network.feature_info
        except Exception as error:  # a backbone that cannot take the size can raise anything
            reason = str(error).partition("\n")[0]
            raise InputError(f"{name} gives no features of {image_size}-pixel pictures: {reason}") from error
    return tuple(Level(c, r) for c, r in zip(info.channels(), info.reduction(), strict=True))


def _spread_over(name: str, known: Sequence[Level], strides: Sequence[int]) -> tuple[int, ...]:
    """Indices of the levels with the given strides; of several levels of one stride, evenly spread ones."""
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
