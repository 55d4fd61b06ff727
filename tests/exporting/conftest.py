"""One export that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from understudy import export
from understudy.reporter import Reporter


@pytest.fixture(scope="session")
def said() -> list[str]:
    """Filled by :func:`exported` with the lines that the run said."""
    return []


@pytest.fixture(scope="session")
def exported(
    model_folder: Path, factory: Path, said: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The small model as ONNX, compared on the pictures that it knows; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "model"
    export(model_folder, out, data=factory, reporter=Reporter(say=said.append))
    return out
