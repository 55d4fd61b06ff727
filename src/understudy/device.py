"""Which hardware to run on, and in which precision."""

from __future__ import annotations

import threading
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


class _FullPrecision:
    """The setting is the process' own, so of several threads the first sets it and the last sets it back."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        cudnn = torch.backends.cudnn
        with self._lock:
            if not self._users:
                self._before, cudnn.allow_tf32 = cudnn.allow_tf32, False
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    cudnn.allow_tf32 = self._before


full_precision = _FullPrecision()
"""Keeps a GPU's convolutions at float32's own precision, so that scores do not depend on the device."""
