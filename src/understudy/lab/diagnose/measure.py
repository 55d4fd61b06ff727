"""Score mixes, pastes and their controls, and compute the figures of both diagnostics."""

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


TOGETHER = "together"  # key of the figures over all weights of a mix
PASTE_NAMES = ("pixel_auroc", "aupro", "image_auroc")

DiagnosisFigures = dict[str, float | None]
"""Name of a figure -> its value as a fraction; ``None`` if it cannot be computed."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Interference:
    """Figures of the one-class models and of the multi-class model on the same pictures.

    The interference index is their difference, one-class minus multi-class. It says what training on all
    categories together costs; 0 means that it costs nothing.

    Attributes:
        one_class: figures of the one-class models.
        multi_class: figures of the multi-class model.
    """

    one_class: DiagnosisFigures
    multi_class: DiagnosisFigures

    def to_dict(self) -> dict[str, DiagnosisFigures]:
        """Both sets of figures, and their difference as ``index``, for ``diagnosis.json``."""
        index = {name: difference(self.one_class[name], self.multi_class[name]) for name in self.one_class}
        return {"one_class": self.one_class, "multi_class": self.multi_class, "index": index}


@dataclass(frozen=True)
class MixResult:
    """MixDiag of two categories: scores of their mixes.

    Attributes:
        a: first category, with weight lam.
        b: second category, with weight 1 - lam.
        normal: (n,) scores of the good pictures of both.
        mixed: (p, 3) scores of the mixes, one column for each of ``LAMS``.
        same_class: (q, 3) scores of the controls, mixes of two pictures of one category; ``None`` if one of
            the categories has a single good picture.
        interference: figure ``auroc`` of one-class and multi-class models; ``None`` without one-class models.
    """

    a: str
    b: str
    normal: Scores
    mixed: Scores
    same_class: Scores | None
    interference: Interference | None = None

    @property
    def auroc(self) -> float:
        """AUROC of the mixes of all lam together, in [0, 1]; lower means that the model misses more."""
        return auroc(self.mixed, self.normal) or 0.0

    def to_dict(self) -> dict[str, Any]:
        """Entry in ``diagnosis.json``: AUROC and gap against the good pictures, for each lam and for all."""
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
    """PasteDiag of an ordered pair of categories. Figures have the keys ``PASTE_NAMES``.

    Attributes:
        patch: category of the patches.
        background: category of the pictures that they are pasted on.
        n_pasted: number of pastes.
        n_normal: number of clean pictures of the background's category.
        pasted: figures of the pastes.
        same_class: figures of the controls, patches of the background's category at the same places; ``None``
            if that category has a single good picture.
        interference: figures of one-class and multi-class models; ``None`` without one-class models.
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
        """Pixel AUROC of the pastes, in [0, 1]; lower means that the model misses more."""
        return self.pasted["pixel_auroc"] or 0.0

    def to_dict(self) -> dict[str, Any]:
        """Entry in ``diagnosis.json``."""
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
    """Abnormal and normal scores, of any shape -> AUROC in [0, 1]; ``None`` if one of them is empty."""
    labels = np.repeat([True, False], [abnormal.size, normal.size])
    return Ranking(np.concatenate([abnormal.ravel(), normal.ravel()]), labels).auroc()


def standardised_gap(abnormal: Scores, normal: Scores) -> float | None:
    """Difference of the means, divided by the pooled standard deviation; ``None`` if that is 0 or unknown."""
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
    """Compute pixel AUROC, AUPRO up to 0.3, and image AUROC against clean pictures, of some pastes.

    Args:
        maps: anomaly maps of the pastes, (S, S) each.
        masks: (S, S) each, true on the patch.
        scores: (n,) scores of the pastes.
        clean: (m,) scores of the good pictures of the background's category.
    """
    pixels = rank_regions(maps, masks)
    found = (pixels.auroc(), pixels.area(AUPRO_LIMIT), auroc(scores, clean))
    return dict(zip(PASTE_NAMES, found, strict=True))


def difference(one: float | None, other: float | None) -> float | None:
    """``one - other``; ``None`` unless both are known."""
    return None if one is None or other is None else one - other


def mean_nested(results: Sequence[Any]) -> Any:
    """Nested dicts of figures, all of one shape -> the same shape with the unweighted mean of each figure.

    A result without a figure does not count in its mean. A figure that no result has is ``None``.
    """
    known = [r for r in results if r is not None]
    if known and isinstance(known[0], dict):
        return {key: mean_nested([r[key] for r in known]) for key in known[0]}
    return float(np.mean(known)) if known else None


def _by_lam(scores: Scores, normal: Scores) -> dict[str, DiagnosisFigures]:
    """(p, 3) scores of mixes -> AUROC and gap for each lam and for all together."""
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
    """Scores and figures of all trials.

    Attributes:
        normal: category -> (n,) scores of its good pictures.
        mixes: MixDiag, one result a pair.
        pastes: PasteDiag, one result an ordered pair.
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
        score: scores pictures with the multi-class model.
        trials: what to score.
        mix_pairs: unordered pairs of categories.
        paste_pairs: (category of the patch, category of the background).
        advance: takes progress; a step is a category or a pair.
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
    """Add the interference index: figures of one-class models minus those of the multi-class model.

    Both kinds of model see the same pictures. Mixes of a and b are ranked twice: with the one-class model of
    a against the good pictures of a, and with that of b against those of b. The figure is the mean of the
    two AUROCs. The multi-class model is ranked in the same way. Pastes are scored by the one-class model of
    their background, against the good pictures of that category.

    Args:
        measured: result of the multi-class model.
        one_class: category -> scores pictures with the model of that category; one is in use at a time.
        trials: the trials that were measured.
        advance: takes progress; a step is a category.
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
    """Score the mixes of two categories: (p, 3), one row a pair of pictures, one column for each lam."""
    return _scores(score, trials.mixes(a, b)).reshape(-1, len(LAMS))


def _paste_result(score: Score, trials: Trials, patch: str, background: str, normal: Scores) -> PasteResult:
    drawn, control = trials.pastes(patch, background), trials.control_pastes(patch, background)
    pasted = _paste_figures(score, trials, drawn, patch, background, normal)
    same = _paste_figures(score, trials, control, background, background, normal) if control else None
    return PasteResult(patch, background, len(drawn), len(normal), pasted, same)


def _paste_figures(
    score: Score, trials: Trials, pastes: list[Paste], patch: str, background: str, normal: Scores
) -> DiagnosisFigures:
    """Score some pastes and compute their figures; the maps are not kept."""
    found = list(score(trials.pasted(pastes, patch, background)))
    masks = [p.place.mask(trials.side) for p in pastes]
    scores = np.array([value for value, _ in found], dtype=np.float64)
    return paste_figures([m for _, m in found], masks, scores, normal)
