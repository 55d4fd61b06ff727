"""UniAD: the paper's loss, map, score and recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from understudy import InputError, fit, load
from understudy.distill.maps import gaussian_blur
from understudy.distill.teacher import Teacher
from understudy.distill.token_student import TokenStudent
from understudy.methods import AdamW, build, settings_for
from understudy.methods.uniad import PAPER, TUNED
from understudy.types import Pair


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_resnet", (8, 16), 64)


def test_the_loss_is_the_mean_squared_error_and_the_map_its_length(teacher: Teacher) -> None:
    pair = Pair(torch.randn(2, 6, 5, 4), torch.randn(2, 6, 5, 4))
    distiller = build("uniad", teacher, settings_for("uniad"))
    total = sum(float(d) ** 2 for d in (pair.student - pair.teacher).flatten())
    assert distiller.loss([pair])["squared"].item() == pytest.approx(total / (2 * 6 * 5 * 4), rel=1e-5)
    length = (pair.student - pair.teacher).square().sum(1, keepdim=True).sqrt()
    expected = F.interpolate(length, (32, 48), mode="bilinear", align_corners=True)
    torch.testing.assert_close(distiller.to_map([pair], (32, 48)), expected)
    smooth = build("uniad", teacher, settings_for("uniad", {"smoothing": 2})).to_map([pair], (32, 48))
    torch.testing.assert_close(smooth, gaussian_blur(expected, 2.0))


def test_the_score_is_the_highest_mean_of_16_by_16_pixels(teacher: Teacher) -> None:
    distiller = build("uniad", teacher, settings_for("uniad")).eval()
    with torch.no_grad():
        found, scores = distiller.score(torch.randn(2, 3, 64, 64))
    for one, score in zip(found[:, 0], scores, strict=True):
        means = [one[y : y + 16, x : x + 16].mean() for y in range(49) for x in range(49)]
        assert score == pytest.approx(float(max(means)), rel=1e-4)


def test_kept_features_give_the_loss_of_the_pictures(teacher: Teacher) -> None:
    distiller, images = build("uniad", teacher, settings_for("uniad")), torch.randn(2, 3, 64, 64)
    losses = []
    for pairs in (lambda: distiller.pairs(images), lambda: distiller.pairs_from(teacher(images))):
        torch.manual_seed(3)
        losses.append(distiller.loss(pairs())["squared"])
    assert losses[0] == losses[1]


def test_the_papers_recipe_is_the_papers() -> None:
    settings = settings_for("uniad", PAPER.settings)
    assert settings.model_dump() == {
        "depth": 4,
        "dropout": 0.1,
        "neighbours": 7,
        "jitter": 1.21,
        "cells": 14,
        "smoothing": 0.0,
        "codebook": 0,
    }
    assert PAPER.optimiser == AdamW(1e-4, (0.9, 0.999), 1e-4, clip=0.1)
    assert (PAPER.schedule, PAPER.batch_size, PAPER.image_score) == ("step", 8, "own")
    assert (TUNED.schedule, TUNED.seen(12), TUNED.batch_size) == ("cosine", 3200, 8)


def test_settings_reach_the_student(teacher: Teacher) -> None:
    values = {"depth": 2, "dropout": 0, "neighbours": 3, "jitter": 0.5, "cells": 4}
    student = build("uniad", teacher, settings_for("uniad", values)).student
    assert isinstance(student, TokenStudent)
    assert (len(student.encoder), len(student.decoder)) == (2, 2)
    assert {m.p for m in student.modules() if isinstance(m, nn.Dropout)} == {0}
    assert (student.jitter.ratio, student.grid) == (0.5, (4, 4))
    assert int(student.mask[5].sum()) == 9


def test_pictures_with_too_few_cells_are_refused_with_the_way_out(factory: Path, tmp_path: Path) -> None:
    options = {"method": "uniad", "image_size": 56, "max_steps": 1, "progress": False}
    with pytest.raises(InputError, match=r"middle of 7 x 7 cells would see none.*--set neighbours=5"):
        fit(factory, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_the_papers_recipe_scores_pictures_by_its_own_score(factory: Path, tmp_path: Path) -> None:
    quick = {"image_size": 64, "max_steps": 2, "batch_size": 4, "holdout": 0.34, "device": "cpu"}
    quick |= {"strides": (8, 16), "categories": ("nut",), "settings": {"depth": 1}, "precision": "32"}
    fit(factory, tmp_path / "m", method="uniad", recipe="paper", progress=False, **quick)
    model = load(tmp_path / "m", "cpu")
    assert model.manifest.image_score == "own"
    optimiser = model.manifest.training.optimiser
    assert (optimiser["name"], optimiser["schedule"], optimiser["clip"]) == ("adamw", "step", 0.1)
    pictures = factory / "nut" / "test"
    for found in model.predict(pictures):
        pooled = F.avg_pool2d(torch.from_numpy(found.anomaly_map)[None], 16, 1)
        assert found.score == pytest.approx(float(pooled.max()), rel=1e-5)
        assert found.score < found.anomaly_map.max()
