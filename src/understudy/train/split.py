"""Good pictures by what they are for: which a training learns from, and which are kept from it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from understudy.data.records import PictureSet, Record

__all__ = ["Parts", "divide", "split_off"]


@dataclass(frozen=True)
class Parts:
    """Good pictures by what they are for: to learn from, to validate, and held out for the thresholds."""

    learn: list[Record]
    validation: list[Record]
    held_out: list[Record]


def divide(found: PictureSet, holdout: float, share: float, seed: int) -> Parts:
    """A category's own validation pictures are used as such, or held out where nothing is validated."""
    learn, held_out = split_off(found.train(), holdout, seed)
    own = found.validation()
    if not share:
        return Parts(learn, [], sorted(held_out + own))
    without_own = [r for r in learn if r.category not in {v.category for v in own}]
    _, taken = split_off(without_own, share, seed, "validation")
    return Parts([r for r in learn if r not in set(taken)], sorted(own + taken), held_out)


def split_off(
    records: Sequence[Record], share: float, seed: int, purpose: str = ""
) -> tuple[list[Record], list[Record]]:
    """Take a seeded share of every category away: (what is left, what was taken), both sorted.

    A category's choice depends on its own pictures, its name, the purpose and the seed alone; one
    picture at least is left.
    """
    taken: set[Record] = set()
    for category in {r.category for r in records}:
        own = sorted(r for r in records if r.category == category)
        rng = np.random.default_rng([seed, zlib.crc32((category + purpose).encode())])
        taken.update(own[i] for i in rng.permutation(len(own))[: min(round(share * len(own)), len(own) - 1)])
    return sorted(r for r in records if r not in taken), sorted(taken)
