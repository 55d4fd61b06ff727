"""A picture's embedding -> the product that it shows, or none that the model knows. Needs numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from understudy.runtime.decision import Limits

__all__ = ["Prototypes", "distances_to", "recognise"]

Prototypes = Mapping[str, NDArray[np.float32]]
"""(D,) mean embedding of each category's good pictures, of length one."""


def distances_to(embedding: NDArray[np.float32], prototypes: Prototypes) -> dict[str, float]:
    """(D,) embedding of length one -> its distance to each category's prototype, in [0, 2]."""
    return {name: float(np.linalg.norm(embedding - prototype)) for name, prototype in prototypes.items()}


def recognise(distances: Mapping[str, float], limits: Limits | None) -> str | None:
    """The nearest of those categories that a picture is within the limit of; ``None`` if there is none.

    So a good picture of a category is taken for unknown only if it is beyond its own category's limit,
    and that limit's promise holds whatever the other categories are. Without limits it is the nearest.
    """
    near = {c: d for c, d in distances.items() if d <= (limits.of(c) if limits else math.inf)}
    return min(near, key=lambda c: (near[c], c), default=None)
