"""How many good pictures each product has -> what more of them would gain, in one line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

__all__ = ["MISSED", "advice"]

MISSED = {10: 0.75, 20: 0.46, 50: 0.39, 100: 0.45}
"""Share of defects missed at 1 % of false alarms, by the number of good pictures of each product: means of
twelve real products, from benchmarks/results/few_pictures.csv."""


def advice(numbers: Mapping[str, int]) -> str:
    """Say how many good pictures would halve what is missed; if no number does, what the largest would gain.

    Args:
        numbers: number of good pictures of each product.
    """
    fewest = min(numbers, key=lambda product: (numbers[product], product))
    n = numbers[fewest]
    now = missed(n)
    more = [size for size in MISSED if size > n and missed(size) < 0.99 * now]
    begin = f"{fewest} has the fewest good pictures, {n}"
    if not more:
        return f"{begin}: more would hardly find more, as far as twelve real products showed"
    wanted = next((size for size in more if missed(size) <= now / 2), more[-1])
    less = "half" if missed(wanted) <= now / 2 else f"{100 * (1 - missed(wanted) / now):.0f} %"
    return f"{begin}: with {wanted - n} more, {less} less would be missed, as twelve real products showed"


def missed(n: int) -> float:
    """Return the share of defects missed with n good pictures of each product, between those measured."""
    sizes = sorted(MISSED)
    if n <= sizes[0]:
        return MISSED[sizes[0]]
    for low, high in itertools.pairwise(sizes):
        if n <= high:
            part = (n - low) / (high - low)
            return MISSED[low] + part * (MISSED[high] - MISSED[low])
    return MISSED[sizes[-1]]
