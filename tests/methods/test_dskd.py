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
        ({"cosine": "hard", "global_share": 0.25}, ["local", "global", "affinity"]),
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


def test_the_shares_of_both_students_lie_between_the_maps_of_one_alone(embedded: Teacher) -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 64, 64)

    def map_by(share: float) -> torch.Tensor:
        torch.manual_seed(1)
        return build("dskd", embedded, settings_for("dskd", {"global_share": share})).eval()(images)

    one, other = map_by(0), map_by(1)
    assert not torch.allclose(one, other)
    torch.testing.assert_close(map_by(0.25), 0.75 * one + 0.25 * other)


def test_the_cosine_term_takes_the_reading_that_was_asked_for(embedded: Teacher) -> None:
    images = torch.randn(2, 3, 64, 64)

    def local_by(reading: str) -> torch.Tensor:
        torch.manual_seed(1)
        distiller = build("dskd", embedded, settings_for("dskd", {"cosine": reading})).eval()
        return distiller.training_loss(images)["local"]

    assert local_by("hard") > local_by("local")  # cells that differ most weigh most
