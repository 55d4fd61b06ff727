"""Scores of several kinds -> the outlines of a histogram, as paths of a drawing in a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEIGHT", "WIDTH", "Histogram", "histogram"]

WIDTH, HEIGHT = 300, 96  # of the drawing, without its axis
_BINS = 30


@dataclass(frozen=True)
class Histogram:
    """A drawing of ``WIDTH`` x ``HEIGHT``.

    Attributes:
        paths: outline of each kind, closed along the axis, as SVG path data; largest bin of any at the top.
        low: score at the left.
        high: score at the right.
        label: what it is of.
    """

    paths: dict[str, str]
    low: float
    high: float
    label: str

    def at(self, score: float) -> float:
        """Where a score lies on the axis, in units of the drawing."""
        return WIDTH * (score - self.low) / ((self.high - self.low) or 1)


def histogram(
    kinds: Mapping[str, NDArray[np.float64] | None], label: str, within: Sequence[float] = ()
) -> Histogram:
    """Scores of each kind, of any shape -> their histograms on one axis.

    Heights are shares of a kind, so kinds of different size compare. A kind of no scores is left out.
    The axis reaches as far as the scores do, and those named ``within``.
    """
    scores = {kind: s.ravel() for kind, s in kinds.items() if s is not None and s.size}
    low = min(chain(within, (float(s.min()) for s in scores.values())))
    high = max(chain(within, (float(s.max()) for s in scores.values())))
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shares = {kind: np.histogram(s, edges)[0] / s.size for kind, s in scores.items()}
    top = max(float(share.max()) for share in shares.values())
    return Histogram({kind: _outline(share / top) for kind, share in shares.items()}, low, high, label)


def _outline(levels: NDArray[np.float64]) -> str:
    """(bins,) in [0, 1] -> steps from the left end of the axis to the right one."""
    step = WIDTH / len(levels)
    places = [f"V{HEIGHT * (1 - level):.1f}H{step * (i + 1):.1f}" for i, level in enumerate(levels)]
    return f"M0 {HEIGHT}{''.join(places)}V{HEIGHT}Z"
