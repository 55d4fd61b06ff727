"""The page on licences lists every direct dependency, as installed."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_of_todays_dependencies(licences: ModuleType) -> None:
    assert licences.page() == licences.PAGE.read_text(encoding="utf-8"), "run python docs/licences.py"


def test_no_licence_is_unknown_or_forbids_commercial_use(licences: ModuleType) -> None:
    table = licences.table()
    assert "not stated" not in table
    assert not re.search(r"(?<!L)GPL|NonCommercial|BY-NC|Proprietary", table)
    weak = [line for line in table.splitlines() if "LGPL" in line]
    assert weak == ["| psycopg | postgresql | LGPL-3.0-only |"]  # an extra of its own, used as it is


def test_a_dependency_that_is_missing_from_the_page_fails_the_check(
    licences: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "licences.md"
    page.write_text(licences.PAGE.read_text(encoding="utf-8").replace("| numpy |", "| other |"))
    monkeypatch.setattr(licences, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["licences.py", "--check"])
    assert licences.main() == 1
    monkeypatch.setattr(sys, "argv", ["licences.py"])
    assert licences.main() == 0
    monkeypatch.setattr(sys, "argv", ["licences.py", "--check"])
    assert licences.main() == 0
