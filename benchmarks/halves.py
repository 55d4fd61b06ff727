"""The two halves of realbench's products: what one half chooses is reported on the other."""

from __future__ import annotations

__all__ = ["HALF_A", "half_of"]

HALF_A = ("ballscrew", "cookie", "pcb", "laser_film", "four_screws", "lens")
"""Products of half A, see the README of realbench. All other products are half B."""


def half_of(category: str) -> str:
    """Name the half that a product is in: A or B."""
    return "A" if category in HALF_A else "B"
