"""What a training finds on this machine: GPUs, its precision, and teachers that need no network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import torch

from understudy.distill.embedded import EMBEDDED
from understudy.distill.network import resolve_device
from understudy.distill.precision import ChosenPrecision, choose_precision

__all__ = ["Readiness", "find_readiness"]


class Readiness(NamedTuple):
    """What a training finds.

    Attributes:
        device: device that ``auto`` takes, such as ``cpu`` or ``cuda``.
        gpus: names of the GPUs that torch can use.
        precision: precision that ``auto`` takes for the default teacher, and what was measured.
        teachers: embedded teacher -> command that installs its weights; empty if they are installed.
    """

    device: str
    gpus: list[str]
    precision: ChosenPrecision
    teachers: dict[str, str]


def find_readiness() -> Readiness:
    """Look for what a training needs, and measure the precision, which takes about half a second."""
    device = resolve_device("auto")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    teachers = {
        name: "" if find_spec(source.package) else source.install for name, source in EMBEDDED.items()
    }
    return Readiness(device.type, gpus, choose_precision("auto", device), teachers)
