"""Good pictures that the training has not learned from -> the scales on which several maps are fused."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from understudy.data.store import PictureStore
from understudy.device import full_precision
from understudy.distill.distiller import Distiller
from understudy.distill.fusion import Fusion
from understudy.runtime.preprocess import Preprocess

__all__ = ["scale_maps"]

_MOST_PIXELS = 2**24  # of all maps of a part that quantiles are taken from


def scale_maps(
    distiller: Distiller,
    good: PictureStore,
    preprocess: Preprocess,
    device: torch.device,
    batch_size: int = 8,
) -> None:
    """Fit the scales of a distiller whose map is a :class:`understudy.distill.fusion.Fusion`."""
    fusion = distiller.to(device).eval().to_map
    assert isinstance(fusion, Fusion)
    # Evenly spaced pixels of each map, so that any number of pictures stays within memory.
    step = -(-len(good) * preprocess.image_size**2 // _MOST_PIXELS)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in fusion.parts}
    for batch in DataLoader(good, batch_size=batch_size):
        images, care = (
            None if x is None else torch.from_numpy(x).to(device) for x in preprocess.inputs(batch.numpy())
        )
        assert images is not None
        with torch.inference_mode(), full_precision():
            pairs = distiller.pairs(images, care)
            values = fusion.values(pairs, (images.shape[-2], images.shape[-1]), care)
        for name, each in values.items():
            found[name].append(each[::step].float().cpu().numpy())
    fusion.fit({name: np.concatenate(each) for name, each in found.items()})
    distiller.to("cpu")
