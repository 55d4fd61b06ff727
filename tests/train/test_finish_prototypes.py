"""Categories are recognised from the teacher's features, in the same pass that gives the score."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from understudy import Model, Result, fit
from understudy.data.layouts import open_pictures
from understudy.distill.teacher import embedding
from understudy.runtime.decision import decide
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import digest_of
from understudy.runtime.walk import find_pictures

TINY = {"image_size": 64, "max_steps": 2, "batch_size": 4, "strides": (8, 16), "device": "cpu"}


def embeddings(model: Model, keep: Callable[[Path], bool], root: Path) -> np.ndarray:
    paths = [p for p in find_pictures(root) if keep(p)]
    return np.array([s.embedding for s in model.inspector.scorer.score(paths) if isinstance(s, Scored)])


def test_an_embedding_is_the_mean_of_the_coarsest_level_of_length_one() -> None:
    features = [torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)]
    found = embedding(features)
    mean = features[1].mean(dim=(2, 3))
    torch.testing.assert_close(found, mean / mean.norm(dim=1, keepdim=True))


def test_a_prototype_is_the_mean_embedding_of_the_pictures_learned_from(model: Model, factory: Path) -> None:
    trained = set(model.inspector.seen.trained)
    assert list(model.inspector.scorer.prototypes) == ["capsule", "linen", "nut", "veneer"]
    for category, prototype in model.inspector.scorer.prototypes.items():
        own = embeddings(model, lambda p: digest_of(p.read_bytes()) in trained, factory / category / "train")
        mean = own.mean(axis=0)
        np.testing.assert_allclose(prototype, mean / np.linalg.norm(mean), atol=1e-6)


def test_scoring_asks_the_teacher_once_a_batch(
    model: Model, factory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, passes = model.distiller.teacher, 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    handle = teacher.register_forward_hook(count)
    scored = list(model.inspector.scorer.score(find_pictures(factory / "nut" / "test"), batch_size=4))
    handle.remove()
    assert (len(scored), passes) == (5, 2)


def test_the_score_with_an_embedding_is_the_score_without(model: Model) -> None:
    images = torch.randn(2, 3, 64, 64)
    anomaly_map, score, found = model.distiller.inspect(images)
    expected: tuple[Tensor, Tensor] = model.distiller.score(images)
    torch.testing.assert_close((anomaly_map, score), expected)
    torch.testing.assert_close(found, embedding(model.distiller.teacher(images)))


@pytest.fixture
def strict(model_folder: Path, factory: Path, tmp_path: Path) -> Model:
    """Every held-out picture is within the limit."""
    model = Model.load(shutil.copytree(model_folder, tmp_path / "m"), "cpu")
    model.calibrate(factory, false_alarm_rate=0.2, progress=False)  # the limits are the largest of eight
    return model


def predictions(model: Model, path: Path, category: str | None = None) -> list[Result]:
    return list(model.predict(path, category=category))


def test_held_out_pictures_are_recognised(strict: Model, factory: Path) -> None:
    held_out = set(strict.inspector.seen.held_out)
    for record in open_pictures(factory).train():
        if digest_of(record.path.read_bytes()) in held_out:
            (found,) = predictions(strict, record.path)
            assert (found.category, found.reason) == (record.category, None)


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    return tmp_path / "noise.png"


def test_a_picture_like_no_category_is_a_review_for_that_reason(strict: Model, noise: Path) -> None:
    (found,) = predictions(strict, noise)
    assert (found.verdict, found.category, found.reason) == ("REVIEW", None, "unknown product")
    (said,) = predictions(strict, noise, "nut")
    assert (said.category, said.reason) == ("nut", None)
    assert said.verdict == decide(said.score, strict.thresholds)


def test_a_picture_is_judged_by_the_thresholds_of_the_category_recognised(
    strict: Model, factory: Path
) -> None:
    assert strict.calibration
    low = strict.calibration.thresholds.model_copy(update={"fail_above": -1e6, "review_above": -1e6})
    own = strict.calibration.model_copy(update={"categories": {"nut": low}})
    strict.inspector.calibration = own
    for category in ("nut", "linen"):
        for found in predictions(strict, factory / category / "train"):
            expected = {"nut": "FAIL", None: "REVIEW"}.get(found.category)
            assert expected is None or found.verdict == expected
        assert category in {f.category for f in predictions(strict, factory / category / "train")}


def test_a_model_of_one_product_knows_another_one_for_unknown(factory: Path, tmp_path: Path) -> None:
    model = fit(factory / "nut", tmp_path / "m", holdout=0.5, false_alarm_rate=0.25, **TINY)
    model.calibrate(factory / "nut", false_alarm_rate=0.25, progress=False)
    assert {found.reason for found in predictions(model, factory / "linen" / "train")} == {"unknown product"}


def test_a_model_that_is_not_calibrated_gives_the_nearest_category_and_no_verdict(
    model_folder: Path, noise: Path
) -> None:
    model = Model.load(model_folder, "cpu", calibrated=False)
    (found,) = predictions(model, noise)
    assert found.category in model.categories
    assert found.verdict is found.reason is None
