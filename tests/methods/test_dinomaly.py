"""Dinomaly: the paper's loss, map and recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from understudy import InputError, fit
from understudy.distill.maps import gaussian_blur
from understudy.distill.reverse_transformer import TransformerStudent
from understudy.distill.teacher import Teacher
from understudy.methods import StableAdamW, build, settings_for
from understudy.methods.dinomaly import PAPER
from understudy.types import Pair


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_vit", (16, 16), 64)


def test_the_loss_is_the_mean_over_the_levels_of_one_cosine_a_picture_and_the_map_their_mean(
    teacher: Teacher,
) -> None:
    distiller = build("dinomaly", teacher, settings_for("dinomaly"))
    pairs = [Pair(torch.randn(2, 6, 4, 4), torch.randn(2, 6, 4, 4)) for _ in range(2)]
    apart = [1 - F.cosine_similarity(t.flatten(1), s.flatten(1), dim=1) for t, s, _ in pairs]
    for done in (0.0, 0.05, 1.0):
        torch.testing.assert_close(
            distiller.loss(pairs, done=done), {"cosine": 0.5 * (apart[0] + apart[1]).mean()}
        )
    maps = [
        F.interpolate(
            1 - F.cosine_similarity(t, s, dim=1)[:, None], (32, 32), mode="bilinear", align_corners=True
        )
        for t, s, _ in pairs
    ]
    expected = gaussian_blur(0.5 * (maps[0] + maps[1]), 4.0)
    torch.testing.assert_close(distiller.to_map(pairs, (32, 32)), expected, rtol=1e-4, atol=1e-5)


def test_easy_cells_lose_their_gradient_as_the_training_goes_on(teacher: Teacher) -> None:
    settings = {"easy_share": 0.8, "easy_until": 0.5}
    distiller = build("dinomaly", teacher, settings_for("dinomaly", settings))
    pair = Pair(torch.randn(1, 6, 5, 10), torch.randn(1, 6, 5, 10, requires_grad=True))
    slopes = []
    for done in (0.0, 0.25, 0.5, 1.0):
        (slope,) = torch.autograd.grad(distiller.loss([pair], done=done)["cosine"], pair.student)
        slopes.append(slope)
    reduced = [int((s / slopes[0] < 0.5).all(1).sum()) for s in slopes]
    assert reduced == pytest.approx([0, 20, 40, 40], abs=1)


def test_kept_features_give_the_loss_of_the_pictures(teacher: Teacher) -> None:
    distiller, images = build("dinomaly", teacher, settings_for("dinomaly")), torch.randn(2, 3, 64, 64)
    losses = []
    for pairs in (lambda: distiller.pairs(images), lambda: distiller.pairs_from(teacher(images))):
        torch.manual_seed(3)
        losses.append(distiller.loss(pairs())["cosine"])
    assert losses[0] == losses[1]


def test_the_papers_recipe_is_the_papers() -> None:
    settings = settings_for("dinomaly", PAPER.settings)
    assert settings.model_dump() == {
        "depth": 8,
        "dropout": 0.2,
        "easy_share": 0.9,
        "easy_until": 0.1,
        "smoothing": 4.0,
        "codebook": 0,
    }
    assert PAPER.optimiser == StableAdamW(2e-3, (0.9, 0.999), 1e-10, 1e-4, least=0.1, clip=0.1)
    assert (PAPER.schedule, PAPER.batch_size, PAPER.seen(15)) == ("cosine", 16, 16 * 10_000)


def test_settings_reach_the_student(teacher: Teacher) -> None:
    student = build("dinomaly", teacher, settings_for("dinomaly", {"depth": 2, "dropout": 0})).student
    assert isinstance(student, TransformerStudent)
    assert len(student.blocks) == 2
    assert {m.p for m in student.modules() if isinstance(m, torch.nn.Dropout)} == {0}


def test_the_default_teacher_is_refused_with_the_one_to_name(factory: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"add --teacher vit_small_patch14_dinov2\.lvd142m"):
        fit(factory, tmp_path / "m", method="dinomaly", image_size=64, max_steps=1, progress=False)
    assert not (tmp_path / "m").exists()


def test_a_teacher_of_two_equal_levels_gives_a_model_that_scores(factory: Path, tmp_path: Path) -> None:
    options = {"teacher": "test_vit", "teacher_weights": "random", "strides": (16, 16), "image_size": 64}
    model = fit(
        factory, tmp_path / "m", method="dinomaly", max_steps=4, batch_size=4, progress=False, **options
    )
    assert model.manifest.training.optimiser["name"] == "stableadamw"
    assert model.manifest.training.optimiser["clip"] == 0.1
    assert all(found.ok for found in model.predict(factory / "nut" / "test"))


@pytest.mark.parametrize("method", ["rd", "snl-rd"])
def test_other_methods_take_the_transformer_as_their_student(method: str, teacher: Teacher) -> None:
    distiller = build(method, teacher, settings_for(method, {"student": "transformer", "cosine": "easy"}))
    assert isinstance(distiller.student, TransformerStudent)
    assert len(distiller.student.blocks) == 4
    losses = distiller.training_loss(torch.randn(3, 3, 64, 64))
    assert set(losses) == ({"cosine"} if method == "rd" else {"cosine", "spatial", "intra", "inter"})
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.any() for p in distiller.student.parameters())
    assert ("centers" in str(dict(distiller.student.named_parameters()).keys())) == (method == "snl-rd")


def test_the_forward_base_takes_no_other_student(embedded: Teacher) -> None:
    with pytest.raises(InputError, match="use --method snl-rd for a transformer"):
        build("snl-fd", embedded, settings_for("snl-fd", {"student": "transformer"}))


def test_a_model_that_names_no_student_has_the_convolutional_one(embedded: Teacher) -> None:
    for method in ("rd", "snl-rd"):
        assert settings_for(method).model_dump()["student"] == "convolutional"
        assert not isinstance(build(method, embedded, settings_for(method)).student, TransformerStudent)
