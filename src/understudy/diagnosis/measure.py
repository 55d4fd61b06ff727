"""Scores of everything that the trials make, one pair of categories at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from understudy.diagnosis.figures import (
    Figures,
    Interference,
    MixResult,
    PasteResult,
    Scores,
    auroc,
    mean_of,
    paste_figures,
)
from understudy.diagnosis.synthesis import LAMS, Paste, Trials
from understudy.reporter import Advance, ignore_progress
from understudy.runtime.images import Picture

__all__ = ["Measured", "Names", "Score", "compare", "measure"]

Names = tuple[str, str]
Score = Callable[[Iterable[Picture | NDArray[np.float32]]], Iterator[tuple[float, NDArray[np.float32]]]]
"""(S, S, 3) pictures, uint8 or float32 in [0, 1] -> score and (S, S) map each, in order."""


@dataclass(frozen=True)
class Measured:
    """What a model makes of the trials.

    Attributes:
        normal: (n,) scores of the good pictures of each category.
        mixes: MixDiag, one a pair.
        pastes: PasteDiag, one an ordered pair.
    """

    normal: dict[str, Scores]
    mixes: list[MixResult]
    pastes: list[PasteResult]


def measure(
    score: Score,
    trials: Trials,
    mix_pairs: Sequence[Names],
    paste_pairs: Sequence[Names],
    advance: Advance = ignore_progress,
) -> Measured:
    """Score good pictures, mixes, pastes and their controls with the model to diagnose.

    Args:
        score: of the multi-class model.
        trials: what to score.
        mix_pairs: unordered pairs of categories.
        paste_pairs: (category of the patch, category of the background).
        advance: where progress goes; a step is a category or a pair.
    """
    normal, control = {}, {}
    for done, name in enumerate(trials.good, start=1):
        normal[name] = _scores(score, trials.good[name])
        control[name] = _mix_scores(score, trials, name, name)
        advance("controls", done, len(trials.good), name)
    mixes, pastes = [], []
    for done, (a, b) in enumerate(mix_pairs, start=1):
        both = [control[a], control[b]]
        same_class = np.concatenate(both) if all(len(c) for c in both) else None
        clean = np.concatenate([normal[a], normal[b]])
        mixes.append(MixResult(a, b, clean, _mix_scores(score, trials, a, b), same_class))
        advance("mixes", done, len(mix_pairs), f"{a} + {b}")
    for done, (patch, background) in enumerate(paste_pairs, start=1):
        pastes.append(_paste_result(score, trials, patch, background, normal[background]))
        advance("pastes", done, len(paste_pairs), f"{patch} on {background}")
    return Measured(normal, mixes, pastes)


def compare(
    measured: Measured,
    one_class: Callable[[str], Score],
    trials: Trials,
    advance: Advance = ignore_progress,
) -> Measured:
    """Add the interference index: AUROC of one-class models minus that of the multi-class model.

    Both see the same pictures. A mix of a and b is shown to the one-class model of a, against the
    good pictures of a, and to that of b, against those of b; the multi-class model is taken against
    each category's good pictures likewise, and a figure is the mean of the two AUROCs. A paste is
    shown to the one-class model of its background, against that category's good pictures.

    Args:
        measured: of the multi-class model.
        one_class: opens the model of a category; one is in use at a time.
        trials: those measured.
        advance: where progress goes; a step is a category.
    """
    seen: dict[Names, list[tuple[Figures, Figures]]] = {(m.a, m.b): [] for m in measured.mixes}
    found: dict[Names, Figures] = {}
    for done, name in enumerate(trials.good, start=1):
        score = one_class(name)
        normal = _scores(score, trials.good[name])
        for m in measured.mixes:
            if name in (m.a, m.b):
                own = auroc(_mix_scores(score, trials, m.a, m.b), normal)
                multi = auroc(m.mixed, measured.normal[name])
                seen[m.a, m.b].append(({"auroc": own}, {"auroc": multi}))
        for p in measured.pastes:
            if name == p.background:
                drawn = trials.pastes(p.patch, name)
                found[p.patch, name] = _paste_figures(score, trials, drawn, p.patch, name, normal)
        advance("one-class", done, len(trials.good), name)
    mixes = [replace(m, interference=_mean(seen[m.a, m.b])) for m in measured.mixes]
    pastes = [
        replace(p, interference=Interference(found[p.patch, p.background], p.pasted)) for p in measured.pastes
    ]
    return Measured(measured.normal, mixes, pastes)


def _mean(seen: list[tuple[Figures, Figures]]) -> Interference:
    return Interference(mean_of([one for one, _ in seen]), mean_of([multi for _, multi in seen]))


def _scores(score: Score, pictures: Iterable[Picture | NDArray[np.float32]]) -> Scores:
    return np.array([value for value, _ in score(pictures)], dtype=np.float64)


def _mix_scores(score: Score, trials: Trials, a: str, b: str) -> Scores:
    """(p, 3), a row for every pair of pictures and a column for every lam."""
    return _scores(score, trials.mixes(a, b)).reshape(-1, len(LAMS))


def _paste_result(score: Score, trials: Trials, patch: str, background: str, normal: Scores) -> PasteResult:
    drawn, control = trials.pastes(patch, background), trials.control_pastes(patch, background)
    pasted = _paste_figures(score, trials, drawn, patch, background, normal)
    same = _paste_figures(score, trials, control, background, background, normal) if control else None
    return PasteResult(patch, background, len(drawn), len(normal), pasted, same)


def _paste_figures(
    score: Score, trials: Trials, pastes: list[Paste], patch: str, background: str, normal: Scores
) -> Figures:
    """Score some pastes and keep their figures; the maps are let go."""
    found = list(score(trials.pasted(pastes, patch, background)))
    masks = [p.place.mask(trials.side) for p in pastes]
    scores = np.array([value for value, _ in found], dtype=np.float64)
    return paste_figures([m for _, m in found], masks, scores, normal)
