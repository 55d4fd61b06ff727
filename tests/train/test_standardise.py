"""Before the first step an ensemble learns what its targets usually are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.ensemble import EnsembleStudent
from understudy.distill.network import Normaliser
from understudy.distill.teacher import Teacher
from understudy.methods import build, settings_for
from understudy.progress import Reporter
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois
from understudy.train.standardise import prepare_student, standardise_targets

LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CPU = torch.device("cpu")


def store(factory: Path, mask: np.ndarray | None = None) -> PictureStore:
    good = open_pictures(factory).train()
    rois = Rois() if mask is None else Rois(mask)
    return PictureStore([r.path for r in good], LOOK, rois=rois, categories=[r.category for r in good])


def fresh(**settings: object) -> Distiller:
    torch.manual_seed(0)
    values = {"students": 2, "width": 2} | settings
    return build(
        "uninformed-students",
        Teacher("test_resnet", (8, 16), 64),
        settings_for("uninformed-students", values),
    )


def test_targets_of_the_training_pictures_have_mean_0_and_deviation_1(factory: Path) -> None:
    pictures, distiller = store(factory), fresh()
    told: list[tuple[object, ...]] = []
    standardise_targets(distiller, pictures, LOOK, CPU, lambda *a: told.append(a), batch_size=7)
    images, _ = Normaliser(LOOK)(torch.stack([pictures[i] for i in range(len(pictures))]))
    with torch.no_grad():
        pairs = distiller.pairs(images)
    for pair in pairs[:2]:
        spread = pair.teacher.std((0, 2, 3), correction=0)
        torch.testing.assert_close(pair.teacher.mean((0, 2, 3)), torch.zeros_like(spread), atol=1e-3, rtol=0)
        alive = spread > 0.9
        assert alive.float().mean() > 0.5
        torch.testing.assert_close(spread[alive], torch.ones_like(spread[alive]), atol=1e-3, rtol=0)
    assert told[-1] == ("standardise", 24, 24, "")
    assert distiller.training


def test_pixels_that_do_not_count_have_no_part_in_it(factory: Path) -> None:
    mask = np.zeros((64, 64), bool)
    mask[32:] = True
    pictures, distiller = store(factory, mask), fresh()
    standardise_targets(distiller, pictures, LOOK, CPU)
    images, _ = Normaliser(LOOK)(torch.stack([pictures[i] for i in range(len(pictures))]))
    with torch.no_grad():
        fine, _ = distiller.teacher(images)
    student = distiller.student
    assert isinstance(student, EnsembleStudent)
    torch.testing.assert_close(student.standardisers[0].mean, fine[:, :, 4:].mean((0, 2, 3)))


def test_the_same_pictures_prepare_the_same_student_and_another_method_nothing(factory: Path) -> None:
    pictures, first, again = store(factory), fresh(), fresh()
    for distiller in (first, again):
        prepare_student(distiller, pictures, LOOK, CPU)
    assert all(torch.equal(value, again.learned()[name]) for name, value in first.learned().items())
    other = build("rd", Teacher("test_resnet", (8, 16), 64), settings_for("rd"))
    before = {name: value.clone() for name, value in other.learned().items()}
    prepare_student(other, pictures, LOOK, CPU)
    assert all(torch.equal(value, before[name]) for name, value in other.learned().items())


def test_patch_nets_are_distilled_first(factory: Path) -> None:
    pictures, distiller = store(factory), fresh(patch=[33], patch_steps=2)
    before = {name: value.clone() for name, value in distiller.learned().items()}
    said: list[str] = []
    prepare_student(distiller, pictures, LOOK, CPU, reporter=Reporter(say=said.append))
    changed = {
        name.split(".")[1]
        for name, value in distiller.learned().items()
        if not torch.equal(value, before[name])
    }
    assert said == ["a patch net of 33 pixels is distilled from test_resnet"]
    assert changed == {"targets", "standardisers"}
