"""Uninformed Students: the paper's terms, maps and recipe, on a teacher's levels and on patch nets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from understudy import InputError, Model, WorkError, fit
from understudy.distill.distiller import Distiller
from understudy.distill.ensemble import EnsembleStudent, StridedStudent
from understudy.distill.fusion import Fusion
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.export.formats import write_onnx
from understudy.methods import Adam, build, settings_for
from understudy.methods.uninformed_students import PAPER
from understudy.progress import Reporter
from understudy.types import Pair

QUICK: dict[str, Any] = {
    "image_size": 64,
    "teacher": "test_resnet",
    "teacher_weights": "random",
    "strides": (8, 16),
    "max_steps": 4,
    "batch_size": 4,
    "precision": "32",
    "device": "cpu",
    "method": "uninformed-students",
    "categories": ["nut"],
    "progress": False,
}
SMALL = {"students": 2, "width": 2}


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    torch.manual_seed(0)
    return Teacher("test_resnet", (8, 16), 64)


def made(teacher: Teacher, **settings: object) -> Distiller:
    return build("uninformed-students", teacher, settings_for("uninformed-students", SMALL | settings))


def test_each_student_has_a_term_of_its_own_summed_over_the_levels(teacher: Teacher) -> None:
    distiller = made(teacher, students=3)
    pairs = [Pair(torch.randn(2, 6, n, n), torch.randn(2, 6, n, n)) for _ in range(3) for n in (4, 2)]
    losses = distiller.loss(pairs)
    assert list(losses) == ["student1", "student2", "student3"]
    for m, loss in enumerate(losses.values()):
        own = pairs[2 * m : 2 * m + 2]
        torch.testing.assert_close(loss, sum(((t - s) ** 2).sum(1).mean() for t, s, _ in own))


def test_the_map_is_the_mean_of_the_z_scores_of_error_and_variance_at_each_level(teacher: Teacher) -> None:
    distiller = made(teacher)
    fusion = distiller.to_map
    assert isinstance(fusion, Fusion)
    assert list(fusion.parts) == ["error1", "variance1", "error2", "variance2"]
    pairs = [Pair(torch.randn(1, 5, n, n), torch.randn(1, 5, n, n)) for n in (8, 4)]
    pairs += [pair._replace(student=torch.randn_like(pair.student)) for pair in pairs]
    good = {name: np.linspace(i, 2 * i + 1, 50) for i, name in enumerate(fusion.parts)}
    fusion.fit(good)
    scores = []
    for k in (0, 1):
        target, own = pairs[k].teacher, torch.stack([pairs[k].student, pairs[k + 2].student])
        error = ((own.mean(0) - target) ** 2).sum(1, keepdim=True)
        variance = ((own**2).sum(2).mean(0) - (own.mean(0) ** 2).sum(1))[:, None]
        for name, level in ((f"error{k + 1}", error), (f"variance{k + 1}", variance)):
            large = F.interpolate(level, (16, 16), mode="bilinear", align_corners=True)
            scores.append((large - good[name].mean()) / good[name].std())
    expected = torch.stack(scores).mean(0)
    torch.testing.assert_close(distiller.to_map(pairs, (16, 16)), expected, rtol=1e-4, atol=1e-4)


def test_the_map_of_the_pictures_that_set_its_scales_has_mean_0(teacher: Teacher) -> None:
    distiller = made(teacher).eval()
    fusion, images = distiller.to_map, torch.randn(4, 3, 64, 64)
    assert isinstance(fusion, Fusion)
    with torch.no_grad():
        values = fusion.values(distiller.pairs(images), (64, 64))
        fusion.fit({name: each.numpy() for name, each in values.items()})
        assert float(distiller(images).mean()) == pytest.approx(0, abs=1e-3)


def test_scales_are_counted_from_the_finest_level(teacher: Teacher) -> None:
    student = made(teacher, scales=1).student
    assert isinstance(student, EnsembleStudent)
    own = student.students[0]
    assert isinstance(own, StridedStudent)
    assert [len(standard.mean) for standard in student.standardisers] == [teacher.levels[0].channels]
    assert len(own.stages) == 3  # nothing is computed for levels that are left out


def test_patches_have_a_teacher_of_their_own_which_is_not_trained(teacher: Teacher) -> None:
    distiller = made(teacher, patch=33)
    assert made(teacher, patch=[33]).learned().keys() == distiller.learned().keys()
    pairs = distiller.pairs(torch.randn(1, 3, 64, 64))
    assert [pair.teacher.shape for pair in pairs] == [(1, 128, 16, 16)] * 2
    sum(distiller.loss(pairs).values()).backward()
    reached = {name.split(".")[0] for name, p in distiller.student.named_parameters() if p.grad is not None}
    assert reached == {"students"}
    both = made(teacher, patch=[33, 65]).pairs(torch.randn(1, 3, 64, 64))
    assert [pair.student.shape[2:] for pair in both] == [(16, 16), (8, 8)] * 2


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"patches of 65 pixels need pictures of at least 33; set patch=33"):
        made(Teacher("test_resnet", (8,), 32), patch=[17, 65])
    with pytest.raises(InputError, match=r"setting patch\.0=16 of uninformed-students: Input should be 17"):
        settings_for("uninformed-students", {"patch": 16})


def test_the_papers_recipe_is_the_papers() -> None:
    assert PAPER.optimiser == Adam(1e-4, (0.9, 0.999), weight_decay=1e-5)
    assert (PAPER.schedule, PAPER.batch_size) == ("constant", 1)
    assert (
        settings_for("uninformed-students").model_dump().items()
        >= {
            "codebook": 0,
            "students": 3,
            "scales": 3,
            "width": 16,
            "normalised": False,
            "patch": (),
            "stride": "pool",
            "patch_steps": 1000,
            "smoothing": 0.0,
        }.items()
    )


@pytest.mark.parametrize("more", [{}, {"patch": [33], "patch_steps": 1, "students": 2}])
def test_a_broken_training_goes_on_to_the_result_of_an_unbroken_one(
    more: dict[str, object], factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = QUICK | {"settings": SMALL | more, "checkpoint_every": 1}
    options |= {"max_steps": 3, "batch_size": 2, "image_size": 32}
    whole = fit(factory, tmp_path / "whole", **options)

    def pull_the_plug(what: str, done: int, total: int, note: str) -> None:
        if what == "train" and done == 2:
            raise WorkError("power cut")

    monkeypatch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
    with pytest.raises(WorkError, match="power cut"):
        fit(factory, tmp_path / "m", **options | {"progress": Reporter(advance=pull_the_plug)})

    monkeypatch.setattr(
        "understudy.train.standardise.standardise_targets", lambda *_: pytest.fail("prepared twice")
    )
    resumed = fit(factory, tmp_path / "m", resume=True, **options)

    for name, value in whole.distiller.learned().items():
        assert torch.equal(value, resumed.distiller.learned()[name]), name
    shown = factory / "nut" / "test"
    assert [r.score for r in resumed.predict(shown)] == [r.score for r in whole.predict(shown)]
    assert [r.score for r in Model.load(tmp_path / "m", "cpu").predict(shown)] == [
        r.score for r in whole.predict(shown)
    ]


def test_processes_that_train_together_have_the_same_usual_values(factory: Path, tmp_path: Path) -> None:
    options = QUICK | {"settings": SMALL, "max_steps": 2}
    alone, together = (fit(factory, tmp_path / str(n), devices=n, **options) for n in (1, 2))
    for name, value in alone.distiller.learned().items():
        torch.testing.assert_close(value, together.distiller.learned()[name], rtol=1e-3, atol=1e-5)


def test_a_model_of_patches_is_the_same_graph_in_onnx(teacher: Teacher, tmp_path: Path) -> None:
    import onnxruntime

    distiller = made(teacher, patch=[33]).eval()
    write_onnx(distiller, tmp_path / "m.onnx", 64)
    images = torch.randn(2, 3, 64, 64).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"images": images})[0]
    expected = TorchNetwork(distiller)(images, None).maps
    assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-3 * np.ptp(expected)
