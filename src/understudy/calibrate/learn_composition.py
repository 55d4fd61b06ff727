"""Compositions of pictures that a model learned from -> what is usual in them, and their own scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from understudy.calibrate.estimate import Numbers, standardise
from understudy.runtime.usual_composition import (
    N_PARTS,
    PartUsual,
    Shape,
    UsualComposition,
    composition_parts,
)

__all__ = ["Composed", "learn_compositions", "shape_of"]

FEWEST = 4  # pictures of a product whose compositions can be compared
FOLDS = 10  # groups of pictures; each is judged by what is usual in the others
FLOOR = 1e-5  # least variance: the square of about one cell of 16 x 16
MOST_AXES = 256  # directions whose variance is known for itself; bounds the file


class Composed(NamedTuple):
    """What is usual in the compositions of a product, and how unusual those are that it was learned from.

    Attributes:
        usual: what is usual; ``None`` of a product with too few pictures.
        scores: (n,) score of each composition by what is usual in others; mean 0 and deviation 1, or all 0.
    """

    usual: UsualComposition | None
    scores: Numbers


def learn_compositions(compositions: Mapping[str, Numbers]) -> dict[str, Composed]:
    """Learn what is usual in the compositions of each product.

    Args:
        compositions: (n, N) compositions of the good pictures of each product.
    """
    enough = {p: composition_parts(x) for p, x in compositions.items() if len(x) >= FEWEST}
    distances = {p: [_distances_by_others(part) for part in parts] for p, parts in enough.items()}
    norms = [standardise({p: each[i] for p, each in distances.items()})[0] for i in range(N_PARTS)]
    sums = {p: np.sum([norms[i][p](d) for i, d in enumerate(x)], 0) for p, x in distances.items()}
    overall, _ = standardise(sums)
    found = {p: Composed(None, np.zeros(len(x))) for p, x in compositions.items()}
    for product, parts in enough.items():
        unit, shift = overall[product].scale, overall[product].centre / N_PARTS
        usual = [
            PartUsual(shape_of(part), norm[product].back(shift), norm[product].scale * unit)
            for part, norm in zip(parts, norms, strict=True)
        ]
        found[product] = Composed(UsualComposition(tuple(usual)), overall[product](sums[product]))
    return found


def _distances_by_others(part: Numbers) -> Numbers:
    """(n, d) -> (n,) distance of each vector from the mean of others, by the shape of others."""
    n = len(part)
    groups = np.random.default_rng(0).permutation(n) % min(FOLDS, n)
    distances = np.zeros(n)
    for group in range(min(FOLDS, n)):
        mine = groups == group
        distances[mine] = shape_of(part[~mine]).distances(part[mine])
    return distances


def shape_of(vectors: Numbers) -> Shape:
    """(n, d) vectors -> their mean and the inverse of their covariance matrix, by Ledoit and Wolf.

    The empirical covariance S of few vectors is too wide in some directions and too narrow in others. With m
    the mean of its diagonal, (1 - r) S + r m I takes its place. The share r is the expected square of the
    error of S, divided by that of its distance from m I.

    Ledoit and Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*, 2004.
    """
    mean = vectors.mean(0)
    centred = vectors - mean
    n, d = centred.shape
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    variances = lengths**2 / n
    typical, squares = variances.sum() / d, float((variances**2).sum())
    away = squares - d * typical**2
    error = (float(((centred**2).sum(1) ** 2).sum()) / n - squares) / n
    share = float(np.clip(error / away, 0, 1)) if away > 0 else 1.0
    known = min(len(variances), MOST_AXES)
    others = float(variances[known:].sum()) / (d - known) if d > known else 0.0
    floor = share * typical + FLOOR
    rest = 1 / ((1 - share) * others + floor)
    more = 1 / ((1 - share) * variances[:known] + floor) - rest
    return Shape(
        mean.astype(np.float32), axes[:known].astype(np.float32), more.astype(np.float32), float(rest)
    )
