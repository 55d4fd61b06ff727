from __future__ import annotations

from collections.abc import Iterator

import pytest

import understudy.methods  # noqa: F401  # installs the kernels
from understudy.distill.acceleration import plain_equations


@pytest.fixture(autouse=True)
def _plainly() -> Iterator[None]:
    """Test the equations as they are written; ``tests/kernels`` shows that each kernel equals its own."""
    with plain_equations():
        yield
