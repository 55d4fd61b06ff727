"""The page on reliability names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text())


def test_the_page_names_a_test_for_each_fault() -> None:
    rows = (ROOT / "docs" / "reliability.md").read_text().partition("the test that holds each off")[2]
    assert len(NAMED) == rows.count("\n|") - 2 > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text()
