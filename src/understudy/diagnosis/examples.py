"""A few mixes and pastes with their maps, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from understudy.diagnosis.measure import Measured, Score
from understudy.diagnosis.synthesis import Trials, mix
from understudy.runtime.images import Mask, Picture

__all__ = ["Example", "examples_of"]

_LAM = 0.5  # of a shown mix
_PAIRS_SHOWN = 3  # of either kind: those that the model tells worst


@dataclass(frozen=True)
class Example:
    """One picture that was made.

    Attributes:
        title: of what.
        is_control: made of one category alone.
        picture: (S, S, 3).
        mask: (S, S), true on the patch; ``None`` for a mix.
        score: of the multi-class model.
        anomaly_map: (S, S).
    """

    title: str
    is_control: bool
    picture: Picture
    mask: Mask | None
    score: float
    anomaly_map: NDArray[np.float32]


def examples_of(score: Score, trials: Trials, measured: Measured) -> list[Example]:
    """The first picture of the pairs of lowest AUROC, each with its control beside it."""
    made: list[tuple[str, bool, Picture, Mask | None]] = []
    for m in sorted(measured.mixes, key=lambda m: m.told)[:_PAIRS_SHOWN]:
        for a, b in ((m.a, m.b), (m.a, m.a)):
            for i, j in trials.mixed_pairs(a, b)[:1]:
                mixed = mix(trials.good[a][i], trials.good[b][j], _LAM)
                made.append((f"{a} + {b}", a == b, np.rint(255 * mixed).astype(np.uint8), None))
    for p in sorted(measured.pastes, key=lambda p: p.told)[:_PAIRS_SHOWN]:
        drawn = trials.pastes(p.patch, p.background)[:1]
        control = trials.control_pastes(p.patch, p.background)[:1]
        for patch, pastes in ((p.patch, drawn), (p.background, control)):
            for picture in trials.pasted(pastes, patch, p.background):
                title = f"{patch} on {p.background}"
                made.append((title, patch == p.background, picture, pastes[0].place.mask(trials.side)))
    found = score(picture for _, _, picture, _ in made)
    return [Example(*one, *result) for one, result in zip(made, found, strict=True)]
