"""Conformal test martingales: evidence, picture by picture, that a line no longer is what it was.

The null hypothesis is that the reference pictures and all pictures of the line are exchangeable: their order
says nothing. Then the p-values of :func:`conformal_p` are independent and uniform on [0, 1] (Vovk, Gammerman
and Shafer, "Algorithmic Learning in a Random World", 2005). Whoever bets on a p-value at fair odds wins
nothing on average, so :class:`Wealth`, which begins with 1, is a martingale, and by Ville's inequality

    P(wealth ever reaches 1 / a) <= a,

however long the line runs and however often one looks.

A bet is the density of a beta distribution at p. Bets lean to small p, where figures rise, or to large p,
where they fall, mildly or strongly. A part of the wealth, w(t) = (1 if t = 1 else 0) / 2 + 1 / (2 t H), with
H = 1 + 1/2 + ... + 1/N, is put on the bets at picture t and stays there; until then it is idle. So one bet
begins near every moment at which a change may come, and the wealth after a change is at least w(t) / 8 times
what that bet won.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["BETS", "HORIZON", "Wealth", "conformal_p", "fair_odds", "spent", "start_weights"]

HORIZON = 2000
"""N: pictures after which nothing is idle; a stream starts anew then."""

BETS = ((0.2, 1.0), (0.6, 1.0), (1.0, 2.0), (1.0, 4.0), (1.0, 0.2), (1.0, 0.6), (2.0, 1.0), (4.0, 1.0))
"""(a, b) of each bet's beta density: four that win where p is small, and their mirror images."""

Numbers = NDArray[np.float64]

_A, _B = (np.array(side) - 1 for side in zip(*BETS, strict=True))
_LOG_C = np.array([math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) for a, b in BETS])
_LEAST = 1e-12  # p-values nearer to 0 or 1 count as this near


def conformal_p(before: Sequence[float], figure: float, chance: float) -> float:
    """Return the p-value of a figure among those before it, small if it is high.

    p = (#{x > figure} + chance * (#{x = figure} + 1)) / (n + 1), over the n figures x before.

    Args:
        before: figures of the reference and of all pictures before, sorted.
        figure: figure of the picture.
        chance: random number in [0, 1), which breaks ties.
    """
    above = len(before) - bisect_right(before, figure)
    ties = len(before) - above - bisect_left(before, figure) + 1
    return (above + chance * ties) / (len(before) + 1)


def fair_odds(p: Numbers) -> Numbers:
    """(...) p-values -> (..., 8) what each bet pays for one unit: p^(a-1) (1-p)^(b-1) / B(a, b)."""
    inside = np.clip(p, _LEAST, 1 - _LEAST)[..., None]
    return np.asarray(np.exp(_A * np.log(inside) + _B * np.log1p(-inside) + _LOG_C))


def start_weights(horizon: int = HORIZON) -> Numbers:
    """Return the (N,) part of the wealth that is put on the bets at each picture; they sum to 1."""
    harmonic = 1 / np.arange(1, horizon + 1)
    weights = harmonic / harmonic.sum() / 2
    weights[0] += 0.5
    return np.asarray(weights)


_WEIGHTS = start_weights()
_IDLE = np.maximum(1 - np.cumsum(_WEIGHTS), 0.0)
_IDLE[-1] = 0.0


class Wealth:
    """Wealth of a bettor against exchangeability; it begins with 1.

    Args:
        shape: shape of the p-values of one moment; () for one line.

    Attributes:
        t: number of p-values that were bet on, at most :data:`HORIZON`.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.t = 0
        self._shares = np.full((*shape, len(BETS)), 1 / len(BETS))  # of the staked part, which sum to 1
        self._log_staked = np.full(shape, -np.inf)

    def bet(self, p: Numbers | float) -> Numbers:
        """Bet on the next p-values.

        Args:
            p: p-values in [0, 1], of the shape of the wealth.

        Returns:
            The wealth after the bet, as its base-10 logarithm, of the same shape.
        """
        log_new = math.log(_WEIGHTS[self.t])
        log_staked = np.logaddexp(self._log_staked, log_new)
        kept = np.exp(self._log_staked - log_staked)[..., None]
        shares = (kept * self._shares + (1 - kept) / len(BETS)) * fair_odds(np.asarray(p, np.float64))
        total = shares.sum(axis=-1)
        self._shares, self._log_staked = shares / total[..., None], log_staked + np.log(total)
        idle = _IDLE[self.t]
        self.t += 1
        return np.asarray(self._log10(idle))

    @property
    def level(self) -> Numbers:
        """The wealth as its base-10 logarithm."""
        return np.asarray(self._log10(_IDLE[self.t - 1] if self.t else 1.0))

    def _log10(self, idle: float) -> Numbers:
        log_idle = math.log(idle) if idle > 0 else -math.inf
        return np.asarray(np.logaddexp(self._log_staked, log_idle) / math.log(10))

    def dump(self) -> dict[str, object]:
        """Return what :meth:`load` needs, as JSON can hold it."""
        staked = float(self._log_staked) if self.t else None
        return {"t": self.t, "shares": self._shares.tolist(), "staked": staked}

    @classmethod
    def load(cls, content: dict[str, object]) -> Wealth:
        """Make the wealth of one line again from what :meth:`dump` returned.

        Raises:
            ValueError, TypeError or KeyError: it is something else.
        """
        wealth = cls()
        t, shares, staked = content["t"], np.array(content["shares"], np.float64), content["staked"]
        fits = isinstance(t, int) and 0 <= t <= HORIZON and shares.shape == (len(BETS),)
        if not fits or not np.isfinite(shares).all() or (staked is None) != (t == 0):
            raise ValueError("no wealth")
        wealth.t, wealth._shares = t, shares  # type: ignore[assignment]
        wealth._log_staked = np.asarray(-np.inf if staked is None else float(staked))  # type: ignore[arg-type]
        return wealth


def spent(life: int, run: int) -> float:
    """Return the part of a stream's chance of a false alarm that one run may spend.

    All parts, 1 / (j (j + 1)) / (k (k + 1)) over all lives j and runs k, sum to 1. So by the union bound the
    chance that any run of any life ever gives a false alarm is that of the stream.

    Args:
        life: number of the life, from 1: one more after each reset by a person.
        run: number of the run within its life, from 1: one more after each :data:`HORIZON` pictures.
    """
    return 1 / (life * (life + 1) * run * (run + 1))
