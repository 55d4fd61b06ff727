"""The saved model as what is diagnosed."""

from __future__ import annotations

import pytest

from understudy import Inspector, Model


@pytest.fixture
def inspector(model: Model) -> Inspector:
    return model.inspector
