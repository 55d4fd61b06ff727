"""A saved model knows the blocks of its teacher; one of an older format has the levels that timm states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from understudy import Model, fit
from understudy.distill.teacher import Teacher
from understudy.folders import read_sealed
from understudy.runtime.manifest import BUNDLE_SCHEMA
from understudy.runtime.walk import find_pictures

OPTIONS = {"image_size": 70, "max_steps": 2, "batch_size": 2, "precision": "32", "device": "cpu"}


def test_a_model_of_means_of_blocks_is_loaded_as_it_was_trained(factory: Path, tmp_path: Path) -> None:
    fitted = fit(
        factory,
        out=tmp_path / "model",
        method="rd",
        teacher="tiny_dinov2",
        teacher_weights="random",
        progress=False,
        **OPTIONS,  # type: ignore[arg-type]
    )
    loaded = Model.load(tmp_path / "model", "cpu")
    card = loaded.manifest.teacher
    assert loaded.manifest.bundle_schema == BUNDLE_SCHEMA
    assert (card.strides, card.blocks) == ((14, 14), ((2, 3, 4, 5), (6, 7, 8, 9)))
    pictures = find_pictures(factory / "nut" / "test")[:2]
    for ours, theirs in zip(loaded.predict(pictures), fitted.predict(pictures), strict=True):
        assert ours.score == theirs.score
        np.testing.assert_array_equal(ours.anomaly_map, theirs.anomaly_map)


def test_a_teacher_of_an_older_format_keeps_the_levels_that_timm_states(
    model: Model, model_folder: Path
) -> None:
    older = read_sealed(model_folder / "manifest.json")
    assert older is not None
    del older["teacher"]["blocks"]
    card = type(model.manifest).model_validate(older | {"bundle_schema": 6}).teacher
    assert card.blocks is None
    teacher = Teacher("tiny_dinov2", (14, 14), 70, card.blocks)
    assert "model.blocks.11.ls1.gamma" not in teacher.backbone.state_dict()
    picture = torch.randn(1, 3, 70, 70)
    expected = teacher.backbone(picture)  # not normed, not a mean
    for ours, theirs in zip(teacher(picture), expected, strict=True):
        assert torch.equal(ours, theirs)
