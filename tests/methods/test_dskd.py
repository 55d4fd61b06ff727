"""DSKD: every reading of what the abstract leaves open."""

from __future__ import annotations

import pytest
import torch

from understudy.distill.teacher import Teacher
from understudy.methods import build, settings_for


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, ["local", "global", "affinity"]),
        ({"lambda_cosine": 0}, ["local", "affinity"]),
        ({"against": "teacher", "measure": "kl", "condensing": "channels"}, ["local", "global", "affinity"]),
        ({"affinity_levels": 9, "scaling": "zscore", "global_cosine": 1}, ["local", "global", "affinity"]),
    ],
)
def test_every_reading_trains_and_scores(
    settings: dict[str, object], terms: list[str], embedded: Teacher
) -> None:
    distiller = build("dskd", embedded, settings_for("dskd", settings))
    losses = distiller.training_loss(torch.randn(2, 3, 64, 64))
    assert list(losses) == terms
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    assert distiller.eval()(torch.randn(1, 3, 64, 64)).isfinite().all()
