"""Scores and maps -> the figures of both diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy.diagnosis.synthesis import LAMS
from understudy.metrics import AUPRO_LIMIT, Ranking, rank_regions

__all__ = [
    "PASTE_NAMES",
    "TOGETHER",
    "Figures",
    "Interference",
    "MixResult",
    "PasteResult",
    "auroc",
    "difference",
    "mean_of",
    "paste_figures",
    "standardised_gap",
]

TOGETHER = "together"
PASTE_NAMES = ("pixel_auroc", "aupro", "image_auroc")

Figures = dict[str, float | None]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Interference:
    """Figures of one-class models and of the multi-class model on the same pictures.

    The interference index is their difference, one-class minus multi-class: what training on all
    classes together costs. 0 is no cost.
    """

    one_class: Figures
    multi_class: Figures

    def to_dict(self) -> dict[str, Figures]:
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
    def told(self) -> float:
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
    pasted: Figures
    same_class: Figures | None
    interference: Interference | None = None

    @property
    def told(self) -> float:
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
) -> Figures:
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


def mean_of(results: Sequence[Any]) -> Any:
    """Unweighted mean of every figure of some results of one shape, nested as they are.

    What a result does not have does not count in its mean; what none has is ``None``.
    """
    known = [r for r in results if r is not None]
    if known and isinstance(known[0], dict):
        return {key: mean_of([r[key] for r in known]) for key in known[0]}
    return float(np.mean(known)) if known else None


def _by_lam(scores: Scores, normal: Scores) -> dict[str, Figures]:
    columns: Iterable[tuple[str, Scores]] = zip(map(str, LAMS), scores.T, strict=True)
    return {
        name: {"auroc": auroc(kind, normal), "gap": standardised_gap(kind, normal)}
        for name, kind in [(TOGETHER, scores), *columns]
    }
