"""Evaluate a model on a folder of test pictures: every metric, for each category and over all.

Names are imported when they are asked for, because :mod:`.explain` works without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.evaluate.figures import NAMES, Tested
    from understudy.evaluate.job import Evaluation, MapResolution, evaluate
    from understudy.evaluate.marks import read_masks

__all__ = ["NAMES", "Evaluation", "MapResolution", "Tested", "evaluate", "read_masks"]

_HOME = {
    "NAMES": "figures",
    "Evaluation": "job",
    "MapResolution": "job",
    "Tested": "figures",
    "evaluate": "job",
    "read_masks": "marks",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
