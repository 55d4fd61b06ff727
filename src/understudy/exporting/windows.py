"""Which windows a graph is compared on, and which set its scales in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from understudy.data.factory import FactoryPlan, write_factory
from understudy.data.folder import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.data.store import PictureStore
from understudy.model import TrainedModel
from understudy.runtime.images import Picture
from understudy.runtime.preprocess import Preprocess

__all__ = ["good_windows", "known_windows", "made_windows"]

_COMPARED = 32
_NOISE = 4  # of the windows that are made
_SCALED = 64  # good windows that the scales of int8 come from, at most


def known_windows(known: PictureSet, model: TrainedModel) -> Picture:
    """(n, S, S, 3 or 4): half of test pictures where there are any, half of good ones, 32 at most.

    Raises:
        InputError: one of them cannot be read.
    """
    good = known.train() + known.validation()
    test = [r for r in known.records if r.split == "test"]
    of_test = min(len(test), max(_COMPARED // 2, _COMPARED - len(good)))
    return _windows(_spread(test, of_test) + _spread(good, _COMPARED - of_test), model, _COMPARED)


def good_windows(known: PictureSet, model: TrainedModel) -> Picture:
    """(n, S, S, 3 or 4) of good training pictures, never of a test picture; 64 at most."""
    return _windows(_spread(known.train(), _SCALED), model, _SCALED)


def made_windows(model: TrainedModel) -> Picture:
    """(n, S, S, 3 or 4) of the built-in factory's products and of noise.

    Where a window's pixels may not count, the right half of every second one does not.
    """
    look, side = model.preprocess, model.preprocess.image_size
    plain = Preprocess(image_size=side, mean=look.mean, std=look.std)
    with tempfile.TemporaryDirectory() as folder:
        write_factory(Path(folder), FactoryPlan(train=2, good=1, each_defect=1, size=max(side, 64)))
        paths = [r.path for r in open_pictures(Path(folder)).records]
        store = PictureStore([paths[i] for i in _places(len(paths), _COMPARED - _NOISE)], plain)
        made = np.stack([store[i].numpy() for i in range(len(store))])
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, side, side, 3), np.uint8)
    windows = np.concatenate([made, noise])
    if not model.takes_care:
        return windows
    care = np.full((len(windows), side, side, 1), 255, np.uint8)
    care[::2, :, side // 2 :] = 0
    return np.concatenate([windows, care], axis=3)


def _windows(records: Sequence[Record], model: TrainedModel, most: int) -> Picture:
    paths, categories = [r.path for r in records], [model.named(r.category) for r in records]
    store = PictureStore(paths, model.preprocess, 0, rois=model.rois, categories=categories)
    return np.stack([store[i].numpy() for i in _places(len(store), most)])


def _spread(records: Sequence[Record], most: int) -> list[Record]:
    """Evenly, so that every category and kind of defect has its share."""
    return [records[i] for i in _places(len(records), most)]


def _places(n: int, most: int) -> list[int]:
    """Evenly spread places of ``n``, ``most`` of them at most."""
    most = min(n, most)
    return [i * n // most for i in range(most)]
