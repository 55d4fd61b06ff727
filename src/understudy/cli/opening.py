"""Folder of a model -> Inspector, for trained and exported models; an exported model needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import InputError
from understudy.progress import Stopwatch
from understudy.types import DeviceChoice

if TYPE_CHECKING:
    from understudy.runtime.inspector import Inspector

__all__ = ["open_inspector"]


def open_inspector(
    model: Path,
    device: DeviceChoice = "auto",
    watch: Stopwatch | None = None,
    *,
    calibrated: bool = True,
    require_signature: Path | None = None,
) -> Inspector:
    """Open a trained or an exported model.

    Args:
        model: folder of the model.
        device: device for a trained model.
        watch: stopwatch; at the end of each lap it will wait for the device.
        calibrated: also read the thresholds.
        require_signature: file of a public key that the model must be signed with.

    Raises:
        BundleError: the folder holds no model, or the model is incomplete, altered, of another version, or
            not signed as required.
        InputError: the device is not there, or an exported model was to run on a GPU.
    """
    from understudy.runtime.inspector import Inspector
    from understudy.runtime.manifest import holds_graph

    if holds_graph(model):
        if device == "cuda":
            raise InputError(f"{model} is exported and runs on the processor; leave out --device")
        return Inspector.load(model, calibrated=calibrated, require_signature=require_signature)
    from understudy.distill.network import resolve_device, waiting_for
    from understudy.methods.saved import load_trained

    place = resolve_device(device)
    inspector = load_trained(model, place, calibrated=calibrated, require_signature=require_signature)[1]
    if watch:
        watch.synchronize = waiting_for(place)
    return inspector
