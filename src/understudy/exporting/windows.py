"""Which windows a graph is compared on, and which set its scales in int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy.data.factory import FactoryPlan, write_factory
from understudy.data.folder import open_pictures
from understudy.data.records import PictureSet, Record
from understudy.runtime.images import Preprocess, read_picture

__all__ = ["good_windows", "known_windows", "made_windows"]

_COMPARED = 32
_NOISE = 4  # of the windows that are made
_SCALED = 64  # good pictures that the scales of int8 come from, at most


def known_windows(known: PictureSet, preprocess: Preprocess) -> NDArray[np.float32]:
    """(n, 3, S, S) normalised: half test pictures where there are any, half good ones, 32 at most.

    Raises:
        PictureError: one of them cannot be read.
    """
    good = known.train() + known.validation()
    test = [r for r in known.records if r.split == "test"]
    of_test = min(len(test), max(_COMPARED // 2, _COMPARED - len(good)))
    chosen = _spread(test, of_test) + _spread(good, _COMPARED - of_test)
    return np.concatenate(list(_windows(chosen, preprocess)))


def good_windows(known: PictureSet, preprocess: Preprocess) -> Iterator[NDArray[np.float32]]:
    """(1, 3, S, S) normalised, one good training picture after another, never a test picture; 64 at most."""
    return _windows(_spread(known.train(), _SCALED), preprocess)


def made_windows(preprocess: Preprocess) -> NDArray[np.float32]:
    """(n, 3, S, S) normalised, of the built-in factory's products and of noise."""
    side = preprocess.image_size
    with tempfile.TemporaryDirectory() as folder:
        write_factory(Path(folder), FactoryPlan(train=2, good=1, each_defect=1, size=max(side, 64)))
        made = known_windows(open_pictures(Path(folder)), preprocess)[: _COMPARED - _NOISE]
    noise = np.random.default_rng(0).integers(0, 256, (_NOISE, side, side, 3), np.uint8)
    return np.concatenate([made, preprocess.normalise(noise)])


def _windows(records: Sequence[Record], preprocess: Preprocess) -> Iterator[NDArray[np.float32]]:
    for record in records:
        yield preprocess.normalise(preprocess.resize(read_picture(record.path))[None])


def _spread(records: Sequence[Record], n: int) -> list[Record]:
    """At most ``n``, evenly spread, so that every category and kind of defect has its share."""
    n = min(n, len(records))
    return [records[i * len(records) // n] for i in range(n)]
