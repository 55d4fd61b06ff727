"""STPM: the distance of the authors' code, with the paper's one half where it is asked for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.methods import build, settings_for
from understudy.types import Pair


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("resnet18", (4, 8), "random", 64)[0]


@pytest.mark.parametrize(("half", "factor"), [(False, 1.0), (True, 0.5)])
def test_the_loss_is_the_squared_distance_of_unit_vectors(
    half: bool, factor: float, teacher: Teacher
) -> None:
    distiller = build("stpm", teacher, settings_for("stpm", {"half": half}))
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4)]
    each = [(F.normalize(t) - F.normalize(s)).square().sum(1).mean() for t, s, _ in pairs]
    torch.testing.assert_close(distiller.loss(pairs), {"distance": factor * torch.stack(each).sum()})


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_the_map_combines_levels_as_was_asked(combine: str, teacher: Teacher) -> None:
    to_map = build("stpm", teacher, settings_for("stpm", {"combine": combine})).to_map
    agreeing = Pair(torch.ones(1, 6, 8, 8), torch.ones(1, 6, 8, 8))
    unlike = Pair(torch.ones(1, 6, 4, 4), -torch.ones(1, 6, 4, 4))
    found = to_map([agreeing, unlike], (32, 32))
    expected = 4.0 if combine == "sum" else 0.0  # twice one minus the cosine; and nothing at all
    torch.testing.assert_close(found, torch.full_like(found, expected))
