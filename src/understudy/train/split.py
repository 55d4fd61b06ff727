"""Division of good pictures: some to learn from, some to validate with, some held out."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from understudy.data.records import PictureSet, Record

__all__ = ["Parts", "divide", "keep_what_is_seen", "split_off"]


@dataclass(frozen=True)
class Parts:
    """Good pictures by their use.

    Attributes:
        learn: pictures to learn from.
        validation: pictures that choose an epoch or scale maps.
        held_out: pictures that set the thresholds.
    """

    learn: list[Record]
    validation: list[Record]
    held_out: list[Record]


def divide(picture_set: PictureSet, holdout: float, share: float, seed: int) -> Parts:
    """Divide the good pictures of a data set by their use.

    If a category has validation pictures of its own, they are used for validation. If nothing is validated,
    they are held out.

    Args:
        picture_set: data set.
        holdout: share of each category to hold out, in [0, 1).
        share: share of the rest to validate with, in [0, 1); 0 validates nothing.
        seed: seed of the choice.
    """
    learn, held_out = split_off(picture_set.train(), holdout, seed)
    given = picture_set.validation()
    if not share:
        return Parts(learn, [], sorted(held_out + given))
    without_given = [r for r in learn if r.category not in {v.category for v in given}]
    _, taken = split_off(without_given, share, seed, "validation")
    return Parts([r for r in learn if r not in set(taken)], sorted(given + taken), held_out)


def keep_what_is_seen(
    parts: Parts, room: int, count: Callable[[Sequence[Record]], int], balanced: bool, seed: int
) -> tuple[Parts, int]:
    """Leave pictures out that a training is too short to see; return the rest, and how many were left out.

    Args:
        parts: good pictures by their use.
        room: number of windows that the training sees, each counted as often as it is seen.
        count: returns the number of windows of some pictures.
        balanced: whether every category is seen equally often.
        seed: seed of the choice.
    """
    windows = count(parts.learn)
    if windows <= room:
        return parts, 0
    names = sorted({r.category for r in parts.learn})
    kept: list[Record] = []
    for name in names:
        members = [r for r in parts.learn if r.category == name]
        of_category = count(members)
        seen = math.ceil(room / len(names)) if balanced else math.ceil(room * of_category / windows)
        kept += split_off(members, max(0.0, 1 - seen / of_category), seed, "unseen")[0]
    return replace(parts, learn=sorted(kept)), len(parts.learn) - len(kept)


def split_off(
    records: Sequence[Record], share: float, seed: int, purpose: str = ""
) -> tuple[list[Record], list[Record]]:
    """Take a seeded share of every category away; return what is left and what was taken, both sorted.

    The choice in a category depends only on its pictures, its name, the purpose and the seed. At least one
    picture is left.

    Args:
        records: pictures to choose from.
        share: share to take, in [0, 1).
        seed: seed of the choice.
        purpose: changes the choice, so that two choices with one seed differ.
    """
    taken: set[Record] = set()
    for category in {r.category for r in records}:
        members = sorted(r for r in records if r.category == category)
        rng = np.random.default_rng([seed, zlib.crc32((category + purpose).encode())])
        n_taken = min(round(share * len(members)), len(members) - 1)
        taken.update(members[i] for i in rng.permutation(len(members))[:n_taken])
    return sorted(r for r in records if r not in taken), sorted(taken)
