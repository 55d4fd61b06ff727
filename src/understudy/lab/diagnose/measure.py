"""Scores and maps -> the figures of both diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.lab.diagnose.synthesis import LAMS, Paste, Trials
from understudy.metrics import AUPRO_LIMIT, Ranking, rank_regions
from understudy.progress import Advance, ignore_progress
from understudy.runtime.images import Picture

__all__ = [
    "PASTE_NAMES",
    "TOGETHER",
    "DiagnosisFigures",
    "Interference",
    "Measured",
    "MixResult",
    "Names",
    "PasteResult",
    "Score",
    "auroc",
    "compare",
    "difference",
    "mean_nested",
    "measure",
    "paste_figures",
    "standardised_gap",
]


TOGETHER = "together"
PASTE_NAMES = ("pixel_auroc", "aupro", "image_auroc")

DiagnosisFigures = dict[str, float | None]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Interference:
    """DiagnosisFigures of one-class models and of the multi-class model on the same pictures.

    The interference index is their difference, one-class minus multi-class: what training on all
    classes together costs. 0 is no cost.
    """

    one_class: DiagnosisFigures
    multi_class: DiagnosisFigures

    def to_dict(self) -> dict[str, DiagnosisFigures]:
        """Both, and their difference as ``index``."""
        index = {name: difference(self.one_class[name], self.multi_class[name]) for name in self.one_class}
        return {"one_class": self.one_class, "multi_class": self.multi_class, "index": index}


@dataclass(frozen=True)
class MixResult:
    """MixDiag of two categories.

    Attributes:
        a: the first, with weight lam.
        b: the second, with weight 1 - lam.
        normal: (n,) scores of the good pictures of both.
        mixed: (p, 3) scores of mixes of the two, a column for every lam.
        same_class: (q, 3) scores of the control, two pictures of one category; ``None`` where one of
            the two has a single good picture.
        interference: under the key ``auroc``; ``None`` without one-class models.
    """

    a: str
    b: str
    normal: Scores
    mixed: Scores
    same_class: Scores | None
    interference: Interference | None = None

    @property
    def auroc(self) -> float:
        """AUROC of the mixes of all lam together: the lower, the worse the model tells them."""
        return auroc(self.mixed, self.normal) or 0.0

    def to_dict(self) -> dict[str, Any]:
        """AUROC and gap against the good pictures, for each lam and for all together."""
        return {
            "a": self.a,
            "b": self.b,
            "n_normal": len(self.normal),
            "n_mixed": self.mixed.size,
            "n_same_class": 0 if self.same_class is None else self.same_class.size,
            "mixed": _by_lam(self.mixed, self.normal),
            "same_class": None if self.same_class is None else _by_lam(self.same_class, self.normal),
            "interference": self.interference.to_dict() if self.interference else None,
        }


@dataclass(frozen=True)
class PasteResult:
    """PasteDiag of an ordered pair of categories; figures have the keys ``PASTE_NAMES``.

    Attributes:
        patch: category of the patches.
        background: category of the pictures that they are pasted on.
        n_pasted: pictures made.
        n_normal: clean pictures of the background's category.
        pasted: figures.
        same_class: of the control, patches of the background's own category at the same places;
            ``None`` where it has a single good picture.
        interference: ``None`` without one-class models.
    """

    patch: str
    background: str
    n_pasted: int
    n_normal: int
    pasted: DiagnosisFigures
    same_class: DiagnosisFigures | None
    interference: Interference | None = None

    @property
    def auroc(self) -> float:
        """Pixel AUROC of the pastes: the lower, the worse the model finds them."""
        return self.pasted["pixel_auroc"] or 0.0

    def to_dict(self) -> dict[str, Any]:
        """All of it."""
        return {
            "patch": self.patch,
            "background": self.background,
            "n_normal": self.n_normal,
            "n_pasted": self.n_pasted,
            "pasted": self.pasted,
            "same_class": self.same_class,
            "interference": self.interference.to_dict() if self.interference else None,
        }


def auroc(abnormal: Scores, normal: Scores) -> float | None:
    """Scores of two kinds, of any shape -> AUROC in [0, 1]; ``None`` where one kind is missing."""
    labels = np.repeat([True, False], [abnormal.size, normal.size])
    return Ranking(np.concatenate([abnormal.ravel(), normal.ravel()]), labels).auroc()


def standardised_gap(abnormal: Scores, normal: Scores) -> float | None:
    """Difference of the means over the pooled standard deviation; ``None`` where that is 0 or unknown."""
    freedom = abnormal.size + normal.size - 2
    if not abnormal.size or not normal.size or freedom < 1:
        return None
    squares = sum(float(((s - s.mean()) ** 2).sum()) for s in (abnormal, normal))
    pooled = float(np.sqrt(squares / freedom))
    return float(abnormal.mean() - normal.mean()) / pooled if pooled else None


def paste_figures(
    maps: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
    scores: Scores,
    clean: Scores,
) -> DiagnosisFigures:
    """Pixel AUROC and AUPRO up to 0.3 of pasted pictures, and image AUROC against clean ones.

    Args:
        maps: (S, S) each, of the pasted pictures.
        masks: (S, S) each, true on the patch.
        scores: (n,) of the pasted pictures.
        clean: (m,) of the good pictures of the background's category.
    """
    pixels = rank_regions(maps, masks)
    found = (pixels.auroc(), pixels.area(AUPRO_LIMIT), auroc(scores, clean))
    return dict(zip(PASTE_NAMES, found, strict=True))


def difference(one: float | None, other: float | None) -> float | None:
    """``one - other``, where both are known."""
    return None if one is None or other is None else one - other


def mean_nested(results: Sequence[Any]) -> Any:
    """Unweighted mean of every figure of some results of one shape, nested as they are.

    What a result does not have does not count in its mean; what none has is ``None``.
    """
    known = [r for r in results if r is not None]
    if known and isinstance(known[0], dict):
        return {key: mean_nested([r[key] for r in known]) for key in known[0]}
    return float(np.mean(known)) if known else None


def _by_lam(scores: Scores, normal: Scores) -> dict[str, DiagnosisFigures]:
    columns: Iterable[tuple[str, Scores]] = zip(map(str, LAMS), scores.T, strict=True)
    return {
        name: {"auroc": auroc(kind, normal), "gap": standardised_gap(kind, normal)}
        for name, kind in [(TOGETHER, scores), *columns]
    }


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
    seen: dict[Names, list[tuple[DiagnosisFigures, DiagnosisFigures]]] = {
        (m.a, m.b): [] for m in measured.mixes
    }
    found: dict[Names, DiagnosisFigures] = {}
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


def _mean(seen: list[tuple[DiagnosisFigures, DiagnosisFigures]]) -> Interference:
    return Interference(mean_nested([one for one, _ in seen]), mean_nested([multi for _, multi in seen]))


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
) -> DiagnosisFigures:
    """Score some pastes and keep their figures; the maps are let go."""
    found = list(score(trials.pasted(pastes, patch, background)))
    masks = [p.place.mask(trials.side) for p in pastes]
    scores = np.array([value for value, _ in found], dtype=np.float64)
    return paste_figures([m for _, m in found], masks, scores, normal)
