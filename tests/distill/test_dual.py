"""The dual student, its condensed context, and the fusion of both maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from understudy.distill.dual import GlobalContextBlock, dual_student
from understudy.distill.fusion import Fusion
from understudy.distill.maps import MapRecipe
from understudy.distill.teacher import Teacher
from understudy.methods import build, settings_for
from understudy.types import Pair

SIZE = (16, 16)


def test_pairs_are_the_local_students_levels_and_then_the_global_ones(embedded: Teacher) -> None:
    student = dual_student(embedded, width=8, condensing="code").eval()
    images = torch.randn(2, 3, 256, 256)
    features = embedded(images)
    pairs = student(images, features)
    assert all(p.teacher is f for p, f in zip(pairs, [*features, *features], strict=True))
    own = student.local_student(images, features)
    assert all(torch.equal(a.student, b.student) for a, b in zip(pairs[:3], own, strict=True))


def influence(block: GlobalContextBlock) -> torch.Tensor:
    """Which positions (of 16) of the output change when one corner of the input does."""
    embedding = torch.rand(1, 6, 4, 4)
    changed = embedding.clone()
    changed[..., 0, 0] += 5
    return (block.eval()(embedding) - block(changed)).abs().amax(1).flatten() > 0


def test_a_code_carries_a_corner_everywhere_and_condensed_channels_leave_it_there() -> None:
    assert influence(GlobalContextBlock(6, 32, (4, 4), "code")).all()
    assert influence(GlobalContextBlock(6, 32, (4, 4), "channels")).nonzero().tolist() == [[0]]


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (1, 1)])
def test_a_context_block_keeps_the_shape_of_whatever_grid_comes(grid: tuple[int, int]) -> None:
    embedding = torch.rand(2, 6, *grid)
    assert GlobalContextBlock(6, 3, (4, 4))(embedding).shape == embedding.shape


def fusion(scaling: str = "quantile") -> Fusion:
    parts = {"a": (slice(0, 1), MapRecipe(sigma=0)), "b": (slice(1, 2), MapRecipe(sigma=0))}
    return Fusion(parts, scaling)


def pairs() -> list[Pair]:
    return [Pair(torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)) for _ in range(2)]


def test_a_fusion_is_the_mean_of_maps_shifted_and_scaled_by_good_ones() -> None:
    fused, given = fusion(), pairs()
    good = {"a": np.linspace(0, 1, 1001), "b": np.linspace(2, 4, 1001)}
    fused.fit(good)
    a, b = fused.maps(given, SIZE).values()
    expected = ((a - 0.9) / 0.095 + (b - 3.8) / 0.19) / 2
    torch.testing.assert_close(fused(given, SIZE), expected, rtol=1e-4, atol=1e-4)
    scored = fusion("zscore")
    scored.fit(good)
    expected = sum((m - g.mean()) / g.std() for m, g in zip((a, b), good.values(), strict=True)) / 2
    torch.testing.assert_close(scored(given, SIZE), expected.float(), rtol=1e-4, atol=1e-4)


def test_a_part_that_is_constant_on_good_pictures_does_not_drown_the_other() -> None:
    fused, given = fusion(), pairs()
    fused.fit({"a": np.zeros(5), "b": np.linspace(0, 1, 1001)})
    a, b = fused.maps(given, SIZE).values()
    torch.testing.assert_close(fused(given, SIZE), (a + (b - 0.9) / 0.095) / 2, rtol=1e-4, atol=1e-4)


def test_scales_are_learned_state_and_the_teacher_is_not(embedded: Teacher) -> None:
    distiller = build("dskd", embedded, settings_for("dskd"))
    names = distiller.learned()
    assert {"to_map.zero", "to_map.unit"} <= set(names)
    assert not any(name.startswith("teacher.") for name in names)


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
