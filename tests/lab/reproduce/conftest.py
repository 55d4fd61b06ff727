"""What the tests of a reproduction share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pair(factory: Path) -> tuple[str, ...]:
    """Two categories of the factory."""
    return tuple(sorted(p.name for p in factory.iterdir() if p.is_dir())[:2])
