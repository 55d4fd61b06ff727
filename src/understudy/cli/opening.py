"""Folder of a model -> Inspector, for trained and exported models; an exported model needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from understudy.errors import InputError
from understudy.progress import Stopwatch
from understudy.types import DeviceChoice, ProviderChoice

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
    provider: ProviderChoice = "cpu",
    threads: int | None = None,
) -> Inspector:
    """Open a trained or an exported model.

    Args:
        model: folder of the model.
        device: device for a trained model.
        watch: stopwatch; at the end of each lap it will wait for the device.
        calibrated: also read the thresholds.
        require_signature: file of a public key that the model must be signed with.
        provider: execution provider for an exported model.
        threads: number of threads of an exported model; one per usable core by default.

    Raises:
        BundleError: the folder holds no model, or the model is incomplete, altered, of another version, or
            not signed as required.
        InputError: the device or the provider is not there, or is for models of the other kind.
    """
    from understudy.runtime.inspector import Inspector
    from understudy.runtime.manifest import holds_graph

    if holds_graph(model):
        if device == "cuda":
            raise InputError(
                f"{model} is exported and has no torch device; leave out --device, or see --provider"
            )
        return Inspector.load(
            model,
            threads,
            calibrated=calibrated,
            require_signature=require_signature,
            provider=provider,
        )
    if provider != "cpu":
        raise InputError(
            f"{model} is a trained model, which torch runs; leave out --provider, or export it first"
        )
    from understudy.distill.network import resolve_device, waiting_for
    from understudy.methods.saved import load_trained

    place = resolve_device(device)
    inspector = load_trained(model, place, calibrated=calibrated, require_signature=require_signature)[1]
    if watch:
        watch.synchronize = waiting_for(place)
    return inspector
