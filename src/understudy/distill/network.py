"""Run a distiller in torch: choose the device, normalise windows, and score them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from understudy.distill.acceleration import kept_memory
from understudy.distill.distiller import Distiller
from understudy.errors import InputError
from understudy.progress import Lap, untimed
from understudy.runtime.graph import Answers
from understudy.runtime.preprocess import Preprocess
from understudy.types import DeviceChoice

__all__ = [
    "Normaliser",
    "TorchNetwork",
    "float32_products",
    "full_precision",
    "resolve_device",
    "waiting_for",
]


def resolve_device(choice: DeviceChoice) -> torch.device:
    """Choose the device to run on; ``auto`` takes a GPU if there is one.

    Raises:
        InputError: ``cuda`` was asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if choice == "cuda" and not has_gpu:
        raise InputError("no CUDA device is usable here; ask for --device cpu or auto")
    return torch.device("cuda" if has_gpu and choice != "cpu" else "cpu")


def waiting_for(device: torch.device) -> Callable[[], None]:
    """Give a function that waits until a device has finished its work; for a processor it does nothing."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


@contextmanager
def float32_products(precision: Literal["high", "highest"], device: torch.device) -> Iterator[None]:
    """Within the block a GPU multiplies float32 matrices in TF32 (``high``) or in full (``highest``).

    A processor always multiplies in full.

    Args:
        precision: as ``torch.set_float32_matmul_precision`` takes it.
        device: device that computes.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class _FullPrecision:
    """Context manager that switches TF32 off; the setting is global, so the last thread restores it."""

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
"""Context manager: a GPU computes convolutions in full float32, so scores do not depend on the device."""


class TorchNetwork:
    """Scores windows with a distiller; implements :class:`understudy.runtime.graph.Network`.

    Scores are computed in float32 on every device, because they are compared with thresholds
    (docs/decisions/0006). On a processor, the memory of a batch is kept for the next batch while this object
    exists.

    Args:
        distiller: a trained distiller; it is moved to the device and set to eval mode.
        device: device to score on; the processor by default.
    """

    def __init__(self, distiller: Distiller, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._distiller = distiller.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        if self._device.type == "cpu":
            memory = ExitStack()
            memory.enter_context(kept_memory())
            weakref.finalize(self, memory.close).atexit = False

    def __call__(  # noqa: D102
        self, images: NDArray[np.float32], valid: NDArray[np.float32] | None, lap: Lap = untimed
    ) -> Answers:
        given = torch.from_numpy(images).to(self._device)
        counts = None if valid is None else torch.from_numpy(valid).to(self._device)
        with torch.inference_mode(), full_precision():
            maps, *others = (t.float().cpu().numpy() for t in self._distiller.inspect(given, lap, counts))
        return Answers(maps[:, 0], *others)


class Normaliser(nn.Module):
    """(B, S, S, 3 or 4) uint8 windows -> (B, 3, S, S) normalised images and (B, 1, S, S) valid pixels.

    It computes what ``Preprocess.inputs`` does. Images are float32, minus mean, over std, in channels-last
    memory. The mask of the valid pixels is the fourth channel; ``None`` for windows of three channels.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.mean, self.std = (
            nn.Buffer(255 * torch.tensor(v), persistent=False) for v in (preprocess.mean, preprocess.std)
        )

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:  # noqa: D102
        images = ((windows[..., :3] - self.mean) / self.std).permute(0, 3, 1, 2)
        if windows.shape[-1] == 3:
            return images, None
        valid = (windows[..., 3:] / 255).permute(0, 3, 1, 2)
        return images * valid, valid
