"""What can become a default: candidates by name, and the questions that they answer."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["CANDIDATES", "QUESTIONS", "written"]

TODAY: dict[str, Any] = {
    "method": "snl-rd",
    "max_steps": 400,
    "batch_size": 8,
    "image_size": 256,
    "averaging": 0.98,
    "image_score": "comparable",
    "settings": {"cosine": "hard", "smoothing": 1.0, "anneal_structural_terms": True, "affinity_map": 0.5},
}
"""The default that the others must not be worse than. It is written out, so that it stays what it was."""


def _today(settings: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Today's default with some options or settings changed."""
    return TODAY | options | {"settings": TODAY["settings"] | (settings or {})}


RD: dict[str, Any] = TODAY | {"method": "rd", "settings": {"cosine": "hard", "smoothing": 1.0}}

CANDIDATES: dict[str, dict[str, Any]] = {  # name without a comma -> options of understudy.fit
    "today": TODAY,
    "800 steps": _today(max_steps=800),
    "1200 steps": _today(max_steps=1200),
    "320 px": _today(image_size=320),
    "384 px": _today(image_size=384),
    "codebook": _today({"cram_mode": "codebook"}),
    "no CRAM": _today({"centers": 0}),
    "RD": RD,
    "RD 1200 steps": RD | {"max_steps": 1200},
    "fast": {"preset": "fast"},
    "balanced": {"preset": "balanced"},
    "accurate": {"preset": "accurate"},
}

QUESTIONS: dict[str, tuple[str, ...]] = {  # the first candidate is what the others are compared with
    "length": ("today", "800 steps", "1200 steps"),
    "resolution": ("today", "320 px", "384 px"),
    "codebook": ("today", "codebook", "no CRAM"),
    "student": ("today", "RD", "RD 1200 steps"),
    "preset": ("today", "fast", "balanced", "accurate"),
}


LEAST_STEPS = 200
"""A model of one product is trained for so many steps at least."""


def written(candidate: str, alone_of: int = 1) -> str:
    """Write the options of a candidate, as its rows have them. Rows of other options are not its rows.

    Args:
        candidate: its name.
        alone_of: number of products that have a model each. Each is seen as often as in the model for all,
            or for :data:`LEAST_STEPS`; a candidate without ``max_steps`` leaves the length to ``fit``.
    """
    options = CANDIDATES[candidate]
    if alone_of > 1 and "max_steps" in options:
        options = options | {"max_steps": max(LEAST_STEPS, round(options["max_steps"] / alone_of))}
    return json.dumps(options, sort_keys=True)
