"""Understudy finds defects in pictures of products after seeing only good ones.

>>> import understudy
>>> model = understudy.fit("pictures", out="model")               # doctest: +SKIP
>>> for result in model.predict("new_pictures"):                  # doctest: +SKIP
...     print(result.path, result.verdict, result.score)
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy.errors import (
    BundleError,
    InputError,
    PictureError,
    UnderstudyError,
    WorkError,
    extra_needed,
)
from understudy.progress import Reporter
from understudy.types import DeviceChoice, Region, Result

if TYPE_CHECKING:
    from understudy.data.layouts import open_pictures
    from understudy.data.records import PictureSet
    from understudy.distill.weights import register_teacher
    from understudy.evaluate.job import Evaluation
    from understudy.lab.diagnose.job import Diagnosis
    from understudy.lab.reproduce.job import reproduce
    from understudy.methods import METHODS, Method, register_method
    from understudy.model import Model, fit
    from understudy.runtime.decision import Calibration
    from understudy.runtime.inspector import Inspector


__all__ = [
    "METHODS",
    "BundleError",
    "Calibration",
    "Diagnosis",
    "Evaluation",
    "InputError",
    "Inspector",
    "Method",
    "Model",
    "PictureError",
    "PictureSet",
    "Region",
    "Reporter",
    "Result",
    "UnderstudyError",
    "WorkError",
    "__version__",
    "fit",
    "load",
    "open_pictures",
    "register_method",
    "register_teacher",
    "reproduce",
]

_HOME = {
    "METHODS": "methods",
    "Calibration": "runtime.decision",
    "Diagnosis": "lab.diagnose.job",
    "Evaluation": "evaluate.job",
    "Inspector": "runtime.inspector",
    "Method": "methods",
    "Model": "model",
    "PictureSet": "data.records",
    "fit": "model",
    "open_pictures": "data.layouts",
    "register_method": "methods",
    "register_teacher": "distill.weights",
    "reproduce": "lab.reproduce.job",
}


def load(
    folder: str | Path,
    device: DeviceChoice = "auto",
    *,
    require_signature: str | Path | None = None,
) -> Model | Inspector:
    """Load a saved model: a trained one as :class:`Model`, an exported one as :class:`Inspector`.

    Both have the same ``predict``. An exported model needs no torch.

    Args:
        folder: folder of the model.
        device: device for a trained model; ``auto`` takes a GPU if there is one. Ignored for an exported
            model.
        require_signature: file of a public key (PEM); a model that was not signed with it is refused.

    Raises:
        BundleError: the folder holds no model, or the model is incomplete, altered, of another version, or
            not signed as required.
        InputError: the device is not there, or a trained model needs packages that are not installed.
    """
    from understudy.runtime.inspector import Inspector
    from understudy.runtime.manifest import holds_graph

    if holds_graph(Path(folder)):
        return Inspector.load(folder, require_signature=require_signature)
    model: Model = __getattr__("Model").load(folder, device, require_signature=require_signature)
    return model


def __getattr__(name: str) -> Any:
    """Import heavy parts only when they are asked for, so that the light runtime works without torch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("understudy")
    if name not in _HOME:
        raise AttributeError(f"module 'understudy' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"understudy.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "understudy":
            raise
        raise extra_needed("train", f"understudy.{name}") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
