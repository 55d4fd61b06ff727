"""What is usual in the compositions of a product's good pictures, and how far a picture is from it.

A composition is a vector; see :class:`understudy.distill.composition.Composition`. Its *parts* are the shares
of the whole picture, those of its quarters, and the mean features. The distance of a part is that of
Mahalanobis. Each distance, minus its *centre* and divided by its *scale*, says how unusual the part is, and
the sum of all is what a picture's score gains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODES", "N_PARTS", "PartUsual", "Shape", "UsualComposition", "composition_parts"]

CODES, N_PARTS = 32, 3
"""Kinds of cells of a product, K, and parts of a composition."""


@dataclass(frozen=True)
class Shape:
    """Where good vectors lie: their mean, and how much they vary in each direction.

    The inverse of their covariance matrix is kept as a multiple of the identity, and what some directions
    have above that, because the whole matrix is large.

    Attributes:
        mean: (d,) float32 mean.
        axes: (r, d) float32 directions, of length one and at right angles.
        more: (r,) float32 what the inverse has along each of them, above ``rest``.
        rest: what it has in all other directions, above 0.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    more: NDArray[np.float32]
    rest: float

    def distances(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, d) vectors -> (n,) distances from the mean, at least 0, by Mahalanobis."""
        away = vectors.astype(np.float64) - self.mean
        along = away @ self.axes.T.astype(np.float64)
        squares = self.rest * (away**2).sum(1) + along**2 @ self.more.astype(np.float64)
        return np.asarray(np.sqrt(np.maximum(squares, 0)))  # rounding can make the square of 0 negative


@dataclass(frozen=True)
class PartUsual:
    """What is usual in one part of the compositions of one product's good pictures.

    Attributes:
        shape: where good pictures lie.
        centre: mean distance of good pictures that had no say in ``shape``.
        scale: what one unit of the score is, above 0, in units of the distance.
    """

    shape: Shape
    centre: float
    scale: float


@dataclass(frozen=True)
class UsualComposition:
    """What is usual in the compositions of one product's good pictures.

    Attributes:
        parts: parts of the composition, in order.
    """

    parts: tuple[PartUsual, ...]

    def over(self, unit: float) -> UsualComposition:
        """Return the same for a score that is divided by ``unit``, above 0."""
        return UsualComposition(tuple(replace(part, scale=part.scale * unit) for part in self.parts))

    def score(self, composition: NDArray[np.floating]) -> float:
        """(N,) composition -> what it adds to the score of the picture; larger is more unusual."""
        both = zip(composition_parts(composition[None]), self.parts, strict=True)
        return sum(
            (float(usual.shape.distances(part)[0]) - usual.centre) / usual.scale for part, usual in both
        )


def composition_parts(compositions: NDArray[np.floating]) -> list[NDArray[np.float64]]:
    """(n, N) -> (n, K) shares in the pictures, (n, 4 K) in their quarters, (n, D) mean features."""
    return np.split(compositions.astype(np.float64), [CODES, 5 * CODES], axis=1)
