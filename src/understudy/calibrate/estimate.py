"""Figures of few good pictures of many products -> limits at any rate, estimated by a fitted tail.

Three steps bring the figures of all products together. Each product's figures are *standardised*: minus their
mean, divided by their standard deviation, which is shrunk towards that of the other products. The mean of
pictures that the training has seen is raised by its *optimism*, which held-out pictures show. The largest
figures of all then show the *tail*: above a start, the share of good pictures falls exponentially. The own
figures of a product bend the tail, the more of them the more.

An estimate is no promise. It takes the tail to go on as it begins, and products to be alike in its shape;
:mod:`understudy.calibrate.conformal` needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from understudy.errors import InputError

__all__ = ["Norm", "Pool", "ProductFigures", "Tail", "fit_tail", "pool_figures", "standardise"]


OTHERS = 5  # pictures that the spread of the other products weighs as much as
PER_VIEW = 0.035  # optimism a view, in standard deviations; docs/decisions/0047 measured it
MOST_VIEWS = 30  # more views lower a figure no more; nobody has measured more than 27
BELIEF = 15  # held-out pictures, seen five times, that PER_VIEW weighs as much as
OWN = 100  # pictures of a product with which its own tail weighs as much as that of all
SHARE, LEAST, MOST = 0.1, 50, 0.25  # of the figures above the start of the tail
NORMAL_95 = 1.959964  # 97.5 % quantile of the normal distribution

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Norm:
    """Mean and standard deviation of a figure over the good pictures of one product.

    Attributes:
        centre: mean, in units of the figure.
        scale: standard deviation, above 0, in units of the figure.
    """

    centre: float
    scale: float

    def __call__(self, figures: Numbers) -> Numbers:
        """Return standardised figures."""
        return (figures - self.centre) / self.scale

    def back(self, standardised: float) -> float:
        """Return a standardised figure in units of the figure."""
        return self.centre + self.scale * standardised


@dataclass(frozen=True)
class ProductFigures:
    """One figure, such as the score, of the good pictures of one product.

    Attributes:
        learned: (n,) figures of pictures learned from, each by what is usual without that picture; may be
            empty.
        unseen: (m,) figures of pictures that the training has not seen; may be empty.
        views: how often the training has seen a picture of ``learned``, on average.
    """

    learned: Numbers
    unseen: Numbers
    views: float


@dataclass(frozen=True)
class Pool:
    """Standardised figures of all products, as if the training had seen none of the pictures.

    Attributes:
        norms: norm of each product's new pictures.
        figures: standardised figures of each product.
        optimism: by how much figures are lower after one view, in standard deviations.
        error: standard error of ``optimism``.
    """

    norms: dict[str, Norm]
    figures: dict[str, Numbers]
    optimism: float
    error: float


def standardise(figures: Mapping[str, Numbers]) -> tuple[dict[str, Norm], dict[str, Numbers]]:
    """Return the norm of each product, and its figures, each standardised without itself.

    The standard deviation of a product weighs as much as its pictures, that of the others as much as
    :data:`OTHERS` pictures; the latter is their geometric mean.

    Args:
        figures: figures of each product; a product with one figure or none has the others' standard
            deviation, and its figures say nothing about the tail, so they are left out of the result.
    """
    deviations = [float(x.std(ddof=1)) for x in figures.values() if len(x) > 1]
    others = math.exp(float(np.mean([math.log(d) for d in deviations if d > 0] or [0.0])))
    everything = np.concatenate([*figures.values(), np.zeros(0)])
    fallback = float(everything.mean()) if everything.size else 0.0
    norms, standardised = {}, {}
    for product, x in figures.items():
        n, mean = len(x), float(x.mean()) if len(x) else fallback
        squares = float(((x - mean) ** 2).sum())
        norms[product] = Norm(mean, float(_scale(np.float64(squares), n, others)))
        standardised[product] = np.zeros(0)
        if n > 1:
            # Without x[i], the mean moves by (mean - x[i]) / (n - 1), and the sum of squares falls.
            away = (x - mean) * n / (n - 1)
            left = np.maximum(squares - (x - mean) ** 2 * n / (n - 1), 0)
            standardised[product] = away / _scale(left, n - 1, others)
    return norms, standardised


def _scale(squares: Numbers | np.float64, n: int, others: float) -> Numbers:
    """Shrunk standard deviation of n figures, from the sum of their squared distances to their mean."""
    return np.asarray(np.sqrt((squares + OTHERS * others**2) / (max(n, 1) - 1 + OTHERS)))


def pool_figures(figures: Mapping[str, ProductFigures]) -> Pool:
    """Standardise the figures of all products, and correct those of pictures that the training has seen.

    A student that saw a picture often follows the teacher better there than on a new picture. This optimism
    grows with the number of views. It is fitted to the held-out pictures of all products, as a multiple of
    the views; :data:`PER_VIEW` is what is believed before. It raises the centre of each product.

    Args:
        figures: figures of each product. Where nothing was learned from, the unseen pictures set the norm.
    """
    seen = any(len(f.learned) for f in figures.values())
    norms, learned = standardise({p: f.learned if seen else f.unseen for p, f in figures.items()})
    if not seen:
        return Pool(norms, learned, 0.0, 0.0)
    unseen = {p: norms[p](f.unseen) for p, f in figures.items()}
    weight = BELIEF * 25.0
    upper = weight * PER_VIEW + sum(f.views * float(unseen[p].sum()) for p, f in figures.items())
    lower = weight + sum(f.views**2 * len(f.unseen) for f in figures.values())
    optimism = max(0.0, upper / lower)
    new = {p: Norm(n.centre + n.scale * optimism * figures[p].views, n.scale) for p, n in norms.items()}
    corrected = {p: np.concatenate([learned[p], new[p](f.unseen)]) for p, f in figures.items()}
    return Pool(new, corrected, optimism, 1 / math.sqrt(lower))


@dataclass(frozen=True)
class Tail:
    """How the largest standardised figures of good pictures thin out.

    Attributes:
        start: where the tail begins.
        share: share of good pictures above the start, in (0, 1), of any product.
        mean: mean distance of those pictures from the start, above 0; the tail is exponential.
        own: share and mean of single products, between their own and those of all.
        figures: all figures below the start, sorted; they serve rates that are larger than ``share``.
        n: number of figures.
    """

    start: float
    share: float
    mean: float
    own: Mapping[str, tuple[float, float]]
    figures: Numbers
    n: int

    def limit(self, rate: float, product: str | None = None) -> float:
        """Return the limit that a share ``rate`` of good pictures exceeds, as estimated.

        The mean of few excesses is uncertain. So the limit is the quantile of the next excess, whatever the
        true mean is: of k exponential excesses it is mean · k · ((share / rate) ^ (1 / k) - 1), which tends
        to mean · log(share / rate).

        Args:
            rate: share of good pictures, in (0, 1).
            product: product whose own tail counts; that of all products by default.
        """
        share, mean = self.own.get(product or "", (self.share, self.mean))
        if rate >= share:
            below = self.figures
            at = (1 - rate) / (1 - share) * len(below)
            return float(below[min(max(math.ceil(at) - 1, 0), len(below) - 1)]) if len(below) else self.start
        return self.start + mean * self._k * math.expm1(math.log(share / rate) / self._k)

    def interval(self, limit: float, more: float = 0.0) -> tuple[float, float]:
        """Return the 95 % interval of the share of good pictures above a limit, all products together.

        It says how sure the number of pictures makes the fit. It does not cover that the tail may go on in
        another way than it begins. Below the start of the tail the pictures above the limit are counted.

        Args:
            limit: limit on standardised figures.
            more: standard error of the figures themselves, such as that of their optimism.
        """
        below = float((self.figures > limit).sum()) / self.n  # of those at the start or below it
        beyond, share = max(0.0, limit - self.start), self.share + below
        rate = share * math.exp(-beyond / self.mean)
        error = math.sqrt(
            (1 - share) / max(1.0, share * self.n)
            + (beyond / self.mean) ** 2 / self._k
            + (more / self.mean) ** 2
        )
        factor = math.exp(min(NORMAL_95 * error, 700.0))  # the largest that a number can hold
        return rate / factor, min(1.0, rate * factor)

    @property
    def _k(self) -> float:
        """Number of figures above the start."""
        return max(1.0, self.share * self.n)


def fit_tail(figures: Mapping[str, Numbers]) -> Tail:
    """Fit the tail of standardised figures; the fit of an exponential is its mean.

    Args:
        figures: figures of each product.

    Raises:
        InputError: there are fewer than ten figures, or one is not finite.
    """
    everything = np.sort(np.concatenate([*figures.values(), np.zeros(0)]))
    n = len(everything)
    if not np.isfinite(everything).all():
        raise InputError("a good picture has a score that is not a number (NaN); check the model")
    if n < 10:
        raise InputError(f"the tail of {n} good pictures cannot be estimated; ten are the least")
    above = int(min(max(SHARE * n, LEAST), MOST * n))
    start = float(everything[n - above - 1])
    excess = everything[everything > start] - start
    if not excess.size:  # most figures are equal
        excess = np.array([max(abs(start), 1.0) * 1e-6])
    share, mean = excess.size / n, float(excess.mean())
    own = {}
    for product, x in figures.items():
        beyond = x[x > start] - start
        k, expected = len(beyond), OWN * share
        own[product] = (
            (k + expected) / (len(x) + OWN),
            (float(beyond.sum()) + expected * mean) / (k + expected),
        )
    return Tail(start, share, mean, own, everything[everything <= start], n)
