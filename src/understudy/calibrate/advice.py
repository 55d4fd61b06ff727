"""How many good pictures each product has -> whether more of them would help, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["MISSED", "advice"]

MISSED = {10: 0.72, 20: 0.52, 50: 0.46, 100: 0.43}
"""Share of defects missed at 1 % of false alarms, by the number of good pictures of each product; the mean of
twelve real products, from benchmarks/results/few_pictures.csv."""


def advice(scores: Mapping[str, Sequence[float]]) -> str:
    """Say how many more good pictures would help, as twelve real products showed.

    Args:
        scores: scores of the good pictures of each product.
    """
    fewest = min(scores, key=lambda product: (len(scores[product]), product))
    n = len(scores[fewest])
    more = [size for size in MISSED if size >= 2 * n]
    if not more:
        return "more good pictures would help little: each product has as many as helped in our study"
    less = 1 - MISSED[more[0]] / _missed(n)
    return (
        f"{fewest} has the fewest good pictures, {n}: with {more[0]} of each product, {100 * less:.0f} % "
        "less was missed in our study of twelve products"
    )


def _missed(n: int) -> float:
    return MISSED[max((size for size in MISSED if size <= n), default=min(MISSED))]
