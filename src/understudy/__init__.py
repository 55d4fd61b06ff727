"""Understudy finds defects in pictures of products after seeing only good ones.

>>> import understudy
>>> model = understudy.fit("parts/", "model/")               # doctest: +SKIP
>>> for found in model.predict("new_pictures/"):             # doctest: +SKIP
...     print(found.path, found.score, found.verdict)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from understudy.errors import (
    BundleError,
    InputError,
    PictureError,
    UnderstudyError,
    WorkError,
    extra_needed,
)
from understudy.types import Prediction

if TYPE_CHECKING:
    from understudy.calibration import calibrate
    from understudy.diagnosis import Diagnosis, diagnose
    from understudy.evaluation import Evaluation, evaluate
    from understudy.exporting import export
    from understudy.fitting import fit
    from understudy.methods import METHODS
    from understudy.model import TrainedModel, load
    from understudy.reproduction import reproduce
    from understudy.runtime.detector import Inspector

__all__ = [
    "METHODS",
    "BundleError",
    "Diagnosis",
    "Evaluation",
    "InputError",
    "Inspector",
    "PictureError",
    "Prediction",
    "TrainedModel",
    "UnderstudyError",
    "WorkError",
    "calibrate",
    "diagnose",
    "evaluate",
    "export",
    "fit",
    "load",
    "reproduce",
]

_HOME = {
    "METHODS": "methods",
    "Diagnosis": "diagnosis",
    "Evaluation": "evaluation",
    "Inspector": "runtime.detector",
    "TrainedModel": "model",
    "calibrate": "calibration",
    "diagnose": "diagnosis",
    "evaluate": "evaluation",
    "export": "exporting",
    "fit": "fitting",
    "load": "model",
    "reproduce": "reproduction",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch only when it is asked for: the light runtime goes without."""
    if name not in _HOME:
        raise AttributeError(f"module 'understudy' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"understudy.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "understudy":
            raise
        raise extra_needed("train", f"understudy.{name}") from error
