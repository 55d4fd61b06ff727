"""Which hardware to run on, and in which precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from understudy.errors import InputError

__all__ = [
    "DeviceChoice",
    "PrecisionChoice",
    "full_precision",
    "resolve_device",
    "resolve_precision",
    "waiting_for",
]

DeviceChoice = Literal["auto", "cpu", "cuda"]
PrecisionChoice = Literal["auto", "32", "bf16"]


def resolve_device(choice: DeviceChoice) -> torch.device:
    """``auto`` takes a GPU where there is one.

    Raises:
        InputError: ``cuda`` was asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if choice == "cuda" and not has_gpu:
        raise InputError("no CUDA device is usable here; ask for --device cpu or auto")
    return torch.device("cuda" if has_gpu and choice != "cpu" else "cpu")


def resolve_precision(choice: PrecisionChoice, device: torch.device) -> Literal["32", "bf16"]:
    """``auto`` takes bf16 where the hardware multiplies in it; a processor that emulates it is slower."""
    if choice != "auto":
        return choice
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "32"
    able = torch.cpu.get_capabilities()
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "32"


def waiting_for(device: torch.device) -> Callable[[], None]:
    """What waits until a device has done all that it was given; a processor never owes anything."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep a GPU's convolutions at float32's own precision, so that scores do not depend on the device."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    ):
        yield
