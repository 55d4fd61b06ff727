"""What tests of evaluations share: an inspector and data of their own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from understudy import Inspector, Model
from understudy.lab.factory.write import LogicalPlan, write_logical


@pytest.fixture
def inspector(model: Model) -> Inspector:
    """May be changed: the model keeps its own."""
    return replace(model.inspector)


@pytest.fixture
def data(factory: Path, tmp_path: Path) -> Path:
    """May be changed."""
    return Path(shutil.copytree(factory, tmp_path / "data"))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """One category in LOCO layout."""
    write_logical(tmp_path, LogicalPlan(train=1, validation=0, good=3, each_defect=2, size=64))
    return tmp_path / "kit"


@pytest.fixture
def wide_kit(kit: Path) -> Path:
    """The same with pictures of 96 x 64."""
    for path in kit.glob("*/**/*.png"):
        Image.open(path).resize((96, 64), Image.Resampling.NEAREST).save(path)
    return kit
