"""Choose the windows on which a graph is compared, and those that set its scales in int8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.runtime.images import Picture
from understudy.runtime.inspector import Inspector

__all__ = ["good_windows", "known_windows", "made_windows"]


_COMPARED = 32  # windows to compare on, at most
_GRAINS = 9  # sizes of grains in noise; each size is half the one before
_SCALED = 64  # windows that set the scales of int8, at most


def known_windows(known: PictureSet, model: Inspector) -> Picture:
    """Pictures -> (n, S, S, 3 or 4) uint8 windows to compare on, 32 at most.

    Half of them show test pictures, if there are any, and half show good ones.

    Raises:
        InputError: a picture cannot be read.
    """
    good = known.train() + known.validation()
    test = [r for r in known.records if r.split == "test"]
    of_test = min(len(test), max(_COMPARED // 2, _COMPARED - len(good)))
    return _windows(_spread(test, of_test) + _spread(good, _COMPARED - of_test), model, _COMPARED)


def good_windows(known: PictureSet, model: Inspector) -> Picture:
    """Pictures -> (n, S, S, 3 or 4) uint8 windows of good training pictures, 64 at most; no test picture."""
    return _windows(_spread(known.train(), _SCALED), model, _SCALED)


def made_windows(model: Inspector) -> Picture:
    """Make (n, S, S, 3 or 4) uint8 windows of noise: some with fine grains, some with coarse ones.

    If the model takes a mask of the valid pixels, the right half of every second window is not valid.
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
    """Draw a grid of ``grains`` x ``grains`` random colours and enlarge it smoothly to (S, S, 3)."""
    coarse = rng.integers(0, 256, (min(grains, side), min(grains, side), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def _windows(records: Sequence[Record], model: Inspector, most: int) -> Picture:
    """Cut the pictures into windows, and take at most ``most`` of these, evenly spread."""
    paths, categories = [r.path for r in records], [model.match_category(r.category) for r in records]
    store = PictureStore(paths, model.scorer.preprocess, 0, rois=model.scorer.rois, categories=categories)
    return np.stack([store[i].numpy() for i in _places(len(store), most)])


def _spread(records: Sequence[Record], most: int) -> list[Record]:
    """Take at most ``most`` records, evenly spread over the categories and kinds of defect."""
    return [records[i] for i in _places(len(records), most)]


def _places(n: int, most: int) -> list[int]:
    """Choose at most ``most`` of the indices 0..n-1, evenly spread."""
    most = min(n, most)
    return [i * n // most for i in range(most)]
