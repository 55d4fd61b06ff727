"""Which windows a graph is compared on, and which set its scales in int8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.runtime.images import Picture
from understudy.runtime.inspector import Inspector

__all__ = ["good_windows", "known_windows", "made_windows"]


_COMPARED = 32
_GRAINS = 9  # sizes of grains, each twice as fine as the one before
_SCALED = 64  # good windows that the scales of int8 come from, at most


def known_windows(known: PictureSet, model: Inspector) -> Picture:
    """(n, S, S, 3 or 4): half of test pictures where there are any, half of good ones, 32 at most.

    Raises:
        InputError: one of them cannot be read.
    """
    good = known.train() + known.validation()
    test = [r for r in known.records if r.split == "test"]
    of_test = min(len(test), max(_COMPARED // 2, _COMPARED - len(good)))
    return _windows(_spread(test, of_test) + _spread(good, _COMPARED - of_test), model, _COMPARED)


def good_windows(known: PictureSet, model: Inspector) -> Picture:
    """(n, S, S, 3 or 4) of good training pictures, never of a test picture; 64 at most."""
    return _windows(_spread(known.train(), _SCALED), model, _SCALED)


def made_windows(model: Inspector) -> Picture:
    """(n, S, S, 3 or 4) of noise, from grains of one pixel to grains as large as the window.

    Where a window's pixels may not count, the right half of every second one does not.
    """
    side = model.scorer.preprocess.image_size
    rng = np.random.default_rng(0)
    windows = np.stack([_noise(rng, side, 2 ** (i % _GRAINS)) for i in range(_COMPARED)])
    if not model.scorer.uses_valid_mask:
        return windows
    valid = np.full((len(windows), side, side, 1), 255, np.uint8)
    valid[::2, :, side // 2 :] = 0
    return np.concatenate([windows, valid], axis=3)


def _noise(rng: np.random.Generator, side: int, grains: int) -> Picture:
    """(S, S, 3): colours of a coarse grid, drawn at random and enlarged smoothly."""
    coarse = rng.integers(0, 256, (min(grains, side), min(grains, side), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def _windows(records: Sequence[Record], model: Inspector, most: int) -> Picture:
    paths, categories = [r.path for r in records], [model.match_category(r.category) for r in records]
    store = PictureStore(paths, model.scorer.preprocess, 0, rois=model.scorer.rois, categories=categories)
    return np.stack([store[i].numpy() for i in _places(len(store), most)])


def _spread(records: Sequence[Record], most: int) -> list[Record]:
    """Evenly, so that every category and kind of defect has its share."""
    return [records[i] for i in _places(len(records), most)]


def _places(n: int, most: int) -> list[int]:
    """Evenly spread places of ``n``, ``most`` of them at most."""
    most = min(n, most)
    return [i * n // most for i in range(most)]
