"""An exported model as a model of MLflow: a folder with a short script and the export, and no pickle."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from understudy.errors import InputError, WorkError, extra_needed
from understudy.files import check_writable, prepare_folder
from understudy.runtime.manifest import read_manifest
from understudy.scale.batch import open_exported

__all__ = ["require_pyfunc", "write_pyfunc"]


_DEFAULTS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
_SCRIPT = '''"""Judges pictures with the exported model that lies beside this file. Written by understudy."""

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from understudy.scale.batch import BatchInspector


class Judge(PythonModel):
    """Takes columns path, and bytes with the contents of the files where they are not on this machine."""

    def load_context(self, context):
        self._judge = BatchInspector(context.artifacts["model"])

    def predict(self, context, model_input: pd.DataFrame, params=None):
        columns = {name: list(model_input[name]) for name in ("path", "bytes") if name in model_input}
        return pd.DataFrame(self._judge(columns))


set_model(Judge())
'''


def require_pyfunc(out: str | Path) -> None:
    """Check that a model of MLflow can be written, before any work is done.

    Args:
        out: its folder.

    Raises:
        BundleError: the folder cannot be written.
        InputError: MLflow is not installed, or ``out`` holds files.
    """
    for variable, value in _DEFAULTS.items():
        os.environ.setdefault(variable, value)
    try:
        with _quiet():
            import_module("mlflow.pyfunc")
    except ImportError as error:
        raise extra_needed("mlflow", "a model of MLflow") from error
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds files already, and they must not be lost; choose another folder")
    check_writable(out.absolute().parent)


def write_pyfunc(model: str | Path, out: str | Path) -> None:
    """Write an exported model as a folder that ``mlflow.pyfunc.load_model`` opens.

    MLflow runs the script in it, which opens the export, so nothing is unpickled. Results are those of
    :class:`understudy.scale.batch.BatchInspector`.

    Args:
        model: folder of an exported model.
        out: new or empty folder; those above it are made.

    Raises:
        BundleError: the folder holds no exported model, or one that is damaged, or ``out`` cannot be written.
        InputError: MLflow is not installed, the model is not exported, or ``out`` holds files.
        WorkError: MLflow cannot write it.
    """
    require_pyfunc(out)
    with _quiet():
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema
    model, out = Path(model), Path(out)
    version = read_manifest(model).versions.get("understudy")
    open_exported(model, threads=1)
    prepare_folder(out.absolute().parent)
    signature = ModelSignature(
        Schema([ColSpec("string", "path"), ColSpec("binary", "bytes", required=False)]),
        Schema([ColSpec("string", "path"), ColSpec("double", "score", required=False)]),
    )
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".understudy-") as place:
        script, made = Path(place) / "judge.py", Path(place) / "made"
        script.write_text(_SCRIPT, encoding="utf-8")
        try:
            with _quiet():
                mlflow.pyfunc.save_model(
                    made,
                    python_model=str(script),
                    artifacts={"model": str(model.absolute())},
                    pip_requirements=["pandas", f"understudy>={version}" if version else "understudy"],
                    signature=signature,
                )
            if out.is_dir():
                out.rmdir()
            shutil.move(made, out)
        except (OSError, mlflow.MlflowException) as error:
            raise WorkError(f"{out} cannot be written as a model of MLflow: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Mute MLflow's advice while a model is written."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
