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
    "settings": {
        "cosine": "hard",
        "smoothing": 1.0,
        "anneal_structural_terms": True,
        "affinity_map": 0.5,
        "codebook": 0,
    },
}
"""The default of the second edition's beginning, which the others must not be worse than. It is written out,
so that it stays what it was."""


def _today(settings: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Today's default with some options or settings changed."""
    return TODAY | options | {"settings": TODAY["settings"] | (settings or {})}


def _as_tuned(method: str) -> dict[str, Any]:
    """A method by its tuned recipe, at the default's length, without a codebook."""
    return {"method": method, "max_steps": 400, "batch_size": 8, "settings": {"codebook": 0}}


_BOOK = {"codebook": 300}
_RD = {"cosine": "hard", "smoothing": 1.0}
_ALONE = {  # what leaves the channel term alone
    "lambda_spatial": 0,
    "lambda_intra": 0,
    "lambda_inter": 0,
    "centers": 0,
    "affinity_map": 0,
}
_DINO: dict[str, Any] = {
    "teacher": "vit_small_patch14_dinov2.lvd142m",
    "image_size": 252,
    "max_steps": 1200,
    "batch_size": 16,
}
_SHORT = _DINO | {"max_steps": 300}
_EASY: dict[str, Any] = {"student": "transformer", "cosine": "easy", "smoothing": 1.0, "codebook": 0}

CANDIDATES: dict[str, dict[str, Any]] = {  # name without a comma -> options of understudy.fit
    "today": TODAY,
    "800 steps": _today(max_steps=800),
    "800 steps falling": _today(max_steps=800, schedule="cosine"),
    "codebook": _today(_BOOK),
    "codebook of 100": _today({"codebook": 100}),
    "codebook at 320 px": _today(_BOOK, image_size=320),
    "codebook at 384 px": _today(_BOOK, image_size=384),
    "RD": TODAY | {"method": "rd", "settings": _RD | {"codebook": 0}},
    "RD and codebook": TODAY | {"method": "rd", "settings": _RD | _BOOK},
    "STPM and codebook": TODAY | {"method": "stpm", "averaging": 0.0, "settings": _BOOK},
    "Dinomaly": _DINO | {"method": "dinomaly", "settings": {"codebook": 0}},
    "Dinomaly and codebook": _DINO | {"method": "dinomaly"},
    "SNL on its student": _DINO | {"method": "snl-rd", "settings": {"student": "transformer", "codebook": 0}},
    "RD by a transformer": _SHORT | {"method": "rd", "settings": _EASY},
    "SNL(RD) by a transformer": _SHORT | {"method": "snl-rd", "settings": _EASY},
    "STPM": TODAY | {"method": "stpm", "averaging": 0.0, "settings": {"codebook": 0}},
    "SNL(FD) as printed": TODAY | {"method": "snl-fd", "averaging": 0.0, "settings": {"codebook": 0}},
    "SNL(FD)": _today(method="snl-fd"),
    "SNL(FD) by product": _today({"combine": "product"}, method="snl-fd"),
    "FD": _today(_ALONE, method="snl-fd"),
    "DSKD as it stood": TODAY | {"method": "dskd", "averaging": 0.0, "settings": {"codebook": 0}},
    "DSKD": TODAY | {"method": "dskd", "settings": _RD | {"codebook": 0}},
    "DSKD a quarter global": TODAY
    | {"method": "dskd", "settings": _RD | {"codebook": 0, "global_share": 0.25}},
    "DSKD three quarters global": TODAY
    | {"method": "dskd", "settings": _RD | {"codebook": 0, "global_share": 0.75}},
    "DSKD by z-scores": TODAY | {"method": "dskd", "settings": _RD | {"codebook": 0, "scaling": "zscore"}},
    "DSKD and codebook": TODAY | {"method": "dskd", "settings": _RD | _BOOK},
    "UniAD": _as_tuned("uniad"),
    "RD++": _as_tuned("rdpp"),
    "MKD": _as_tuned("mkd"),
    "Uninformed Students": _as_tuned("uninformed-students"),
    "fast": {"preset": "fast"},
    "fast and logical": {"preset": "fast", "settings": {"logical": True}},
    "balanced": {"preset": "balanced"},
    "accurate": {"preset": "accurate"},
}

QUESTIONS: dict[str, tuple[str, ...]] = {  # the first candidate is what the others are compared with
    "length": ("today", "800 steps", "800 steps falling"),
    "codebook": ("today", "codebook", "codebook of 100"),
    "resolution": ("codebook", "codebook at 320 px", "codebook at 384 px"),
    "student": ("codebook", "RD", "RD and codebook", "STPM and codebook"),
    "transformer": ("today", "Dinomaly", "Dinomaly and codebook", "SNL on its student"),
    "structure": ("RD by a transformer", "SNL(RD) by a transformer"),
    "forward": ("STPM", "SNL(FD) as printed", "SNL(FD)", "SNL(FD) by product", "FD"),
    "logical": (
        "RD",
        "DSKD as it stood",
        "DSKD",
        "DSKD a quarter global",
        "DSKD three quarters global",
        "DSKD by z-scores",
        "DSKD and codebook",
    ),
    "methods": (
        "STPM",
        "SNL(FD)",
        "RD",
        "RD++",
        "today",
        "DSKD as it stood",
        "DSKD",
        "UniAD",
        "MKD",
        "Uninformed Students",
    ),
    "composition": ("fast", "fast and logical"),
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
