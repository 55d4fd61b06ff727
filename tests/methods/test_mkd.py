"""MKD: the paper's loss, score, map and recipe, and the tuned variant that can be exported."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from understudy import InputError, Inspector, Model, fit
from understudy.data.store import PictureStore
from understudy.distill.cloner import Cloner, GuidedReLU
from understudy.distill.saliency import CoarseMap, GradientMap, discrepancy
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.export.formats import write_onnx
from understudy.methods import Adam, build, settings_for
from understudy.methods.mkd import PAPER, TUNED
from understudy.train.module import TrainingModule
from understudy.types import Pair

QUICK = {"image_size": 64, "max_steps": 3, "batch_size": 4, "precision": "32", "device": "cpu"}
QUICK |= {"strides": (8, 16), "categories": ("nut",), "progress": False}


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("test_resnet", (8, 16), "random", 64)[0]


@pytest.fixture(scope="module")
def by_gradient(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model by the paper's recipe; not to be changed."""
    return fit(factory, tmp_path_factory.mktemp("mkd") / "m", method="mkd", recipe="paper", **QUICK)


def test_the_loss_is_direction_and_value_of_all_levels(teacher: Teacher) -> None:
    distiller = build("mkd", teacher, settings_for("mkd", {"value": 0.3}))
    pairs = [Pair(torch.randn(2, 6, n, n), torch.randn(2, 6, n, n)) for n in (8, 4, 2)]
    found = distiller.loss(pairs)
    direction = sum((1 - F.cosine_similarity(t.flatten(1), s.flatten(1))).mean() for t, s, _ in pairs)
    value = 0.3 * sum(F.mse_loss(s, t) for t, s, _ in pairs)
    torch.testing.assert_close(found, {"direction": direction, "value": value})

    equal, twice = ([Pair(t, factor * t) for t, _, _ in pairs] for factor in (1, 2))
    assert [float(x) for x in distiller.loss(equal).values()] == [0, 0]
    assert float(distiller.loss(twice)["direction"]) == pytest.approx(0, abs=1e-6)
    assert float(distiller.loss(twice)["value"]) > 0.1
    assert set(build("mkd", teacher, settings_for("mkd", {"value": 0})).loss(pairs)) == {"direction"}


def test_the_finest_level_changes_the_loss_and_not_the_score(teacher: Teacher) -> None:
    distiller = build("mkd", teacher, settings_for("mkd", {"map": "feature"}))
    pairs = [Pair(torch.randn(2, 6, n, n), torch.randn(2, 6, n, n)) for n in (8, 4)]
    other = [pairs[0]._replace(student=2 - pairs[0].student), pairs[1]]
    assert distiller.loss(pairs) != distiller.loss(other)
    for of in (distiller.to_map.score_of_pairs, lambda pairs: distiller.to_map(pairs, (32, 32))):
        assert torch.equal(of(pairs), of(other))


def test_the_papers_recipe_is_the_papers_and_the_tuned_one_can_be_exported() -> None:
    assert settings_for("mkd", PAPER.settings).model_dump() == {
        "value": 0.5,
        "map": "gradient",
        "copies": 50,
        "smoothing": 4.0,
        "codebook": 0,
    }
    assert PAPER.optimiser == Adam(1e-3, (0.9, 0.999))
    assert (PAPER.schedule, PAPER.batch_size, PAPER.image_score) == ("constant", 64, "own")
    assert settings_for("mkd", TUNED.settings).model_dump()["map"] == "feature"


@pytest.mark.parametrize(
    ("how", "copies", "scaled", "guided"),
    [("gradient", 0, False, False), ("smooth", 2, True, False), ("guided", 0, True, True)],
)
def test_each_map_of_gradients_has_its_parts_and_scores_the_same_way(
    how: str, copies: int, scaled: bool, guided: bool, teacher: Teacher
) -> None:
    distiller = build("mkd", teacher, settings_for("mkd", {"map": how, "copies": 2})).eval()
    assert isinstance(distiller.to_map, GradientMap)
    assert (distiller.to_map.copies, distiller.to_map.scaled) == (copies, scaled)
    assert any(isinstance(m, GuidedReLU) for m in distiller.student.modules()) == guided
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        maps, scores = distiller.score(images)
    assert 0 <= float(maps.min()) < float(maps.max()) <= 1
    torch.testing.assert_close(scores, discrepancy(distiller.pairs(images), 0.5))


def test_guided_gradients_give_another_map_of_the_same_student(teacher: Teacher) -> None:
    made = {
        how: build("mkd", teacher, settings_for("mkd", {"map": how})).eval() for how in ("guided", "gradient")
    }
    made["gradient"].load_learned(made["guided"].learned())
    images = torch.randn(1, 3, 64, 64)
    maps = {how: distiller(images) for how, distiller in made.items()}
    assert (maps["guided"] - maps["gradient"]).abs().max() > 0.01


def test_a_filled_codebook_stands_beside_the_map_of_gradients_and_the_score_is_the_maximum(
    teacher: Teacher,
) -> None:
    distiller = build("mkd", teacher, settings_for("mkd", {"codebook": 3})).eval()
    images = torch.randn(4, 3, 64, 64)
    assert distiller.codebook is not None
    features = teacher(images)
    cells = distiller.codebook.cells(features).flatten(2).transpose(1, 2).flatten(0, 1)
    distiller.codebook.fill([(cells, F.normalize(features[-1].mean((2, 3)), dim=1))])
    with torch.inference_mode():
        maps, scores = distiller.score(images)
        students = distiller.student_map(distiller.pairs(images), images)
        expected = distiller.codebook.beside(students, teacher(images))
    torch.testing.assert_close(maps, expected)
    assert torch.equal(scores, maps.amax((1, 2, 3)))


def test_a_model_of_gradients_scores_by_its_discrepancy_and_does_all_that_others_do(
    by_gradient: Model, factory: Path, tmp_path: Path
) -> None:
    model = by_gradient
    assert model.manifest.image_score == "own"
    pictures = sorted((factory / "nut" / "test").rglob("*.png"))
    found = list(model.predict(pictures))
    again = list(Model.load(model.inspector.folder, "cpu").predict(pictures))
    for one, other in zip(found, again, strict=True):
        assert one.ok
        assert one.score == other.score
        assert 0 <= one.anomaly_map.min() <= one.anomaly_map.max() <= 1
        np.testing.assert_array_equal(one.anomaly_map, other.anomaly_map)
    assert any(one.score > one.anomaly_map.max() for one in found)
    assert (
        0 <= model.evaluate(factory, categories=("nut",), progress=False).metrics["mean"]["image_auroc"] <= 1
    )


def test_validation_and_the_codebooks_scales_have_the_map_of_gradients(factory: Path, tmp_path: Path) -> None:
    options = QUICK | {"recipe": "paper", "settings": {"codebook": 3}, "holdout": 0.0}
    model = fit(factory, tmp_path / "m", method="mkd", **options)
    good = PictureStore(sorted((factory / "nut" / "train").rglob("*.png")), model.preprocess)
    images, _ = model.preprocess.inputs(torch.stack([good[i] for i in range(len(good))]).numpy())
    mean = float(model.distiller.student_map([], torch.from_numpy(images)).mean())
    assert 0 < mean < 1

    codebook = model.distiller.codebook
    assert codebook is not None
    assert float(codebook.shift[0]) == pytest.approx(mean, rel=1e-4)

    plan = SimpleNamespace(compiled=False, batch_size=4, precision="32", device=torch.device("cpu"))
    lesson = TrainingModule(model.distiller, model.preprocess, plan, "", 0.0)  # type: ignore[arg-type]
    with torch.inference_mode():
        assert lesson.error(good) == pytest.approx(mean, rel=1e-4)


def test_a_model_of_gradients_is_not_exported_and_says_how_one_is(by_gradient: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs a backward pass, .*; train it again with --set map=feature"):
        by_gradient.export(tmp_path / "out", progress=False)
    assert not any(tmp_path.iterdir())


def test_a_model_of_features_is_exported_with_the_papers_score(factory: Path, tmp_path: Path) -> None:
    options = QUICK | {"recipe": "paper", "settings": {"map": "feature"}}
    model = fit(factory, tmp_path / "m", method="mkd", **options)
    model.export(tmp_path / "line", data=factory, progress=False)
    pictures = sorted((factory / "nut" / "test").rglob("*.png"))
    theirs = Inspector.load(tmp_path / "line", threads=1).predict(pictures)
    for one, other in zip(model.predict(pictures), theirs, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4)
        assert one.score != pytest.approx(float(one.anomaly_map.max()), rel=1e-2)
        np.testing.assert_allclose(one.anomaly_map, other.anomaly_map, atol=1e-4)


def test_a_vgg_teaches_by_a_file_and_from_the_hubs_cache_and_its_levels_are_pooled(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = timm.create_model("vgg11", pretrained=False, features_only=True)
    state = {k.replace("features_", "features."): v for k, v in network.state_dict().items()}
    repo = tmp_path / "models--timm--vgg11.tv_in1k"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    file = repo / "snapshots" / "abc" / "model.safetensors"
    file.parent.mkdir(parents=True)
    save_file(state, file)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))

    from_hub, look, origin = load_teacher("vgg11.tv_in1k", (2, 4, 8, 16))
    assert origin.origin == "hub timm/vgg11.tv_in1k"
    assert look.mean == (0.485, 0.456, 0.406)
    distiller = build("mkd", from_hub, settings_for("mkd"))
    assert isinstance(distiller.student, Cloner)
    assert sum(p.numel() for p in distiller.student.parameters()) == 343_984
    images = torch.randn(2, 3, 64, 64)
    pairs = distiller.pairs(images)
    assert [tuple(p.student.shape[1:]) for p in pairs] == [
        (128, 16, 16),
        (256, 8, 8),
        (512, 4, 4),
        (512, 2, 2),
    ]
    assert torch.equal(pairs[0].teacher, F.max_pool2d(from_hub(images)[0], 2))

    options = QUICK | {"teacher": "vgg11", "teacher_weights": str(file), "strides": (8, 16), "max_steps": 1}
    model = fit(factory, tmp_path / "m", method="mkd", **options)
    assert model.manifest.teacher.sha256 == origin.sha256
    assert all(found.ok for found in model.predict(factory / "nut" / "test"))
    shutil.rmtree(tmp_path / "m")  # the teacher's weights are large


def test_a_vggs_level_that_is_pooled_already_is_refused_with_the_levels_to_name() -> None:
    vgg = Teacher("vgg11", (8, 16, 32), 64)
    with pytest.raises(InputError, match=r"take --strides 2,4,8,16, which are the paper's levels"):
        build("mkd", vgg, settings_for("mkd"))


def test_a_graph_is_refused_for_every_map_that_needs_a_backward_pass(
    teacher: Teacher, tmp_path: Path
) -> None:
    for how in ("gradient", "smooth", "guided"):
        distiller = build("mkd", teacher, settings_for("mkd", {"map": how}))
        with pytest.raises(InputError, match="--set map=feature"):
            write_onnx(distiller, tmp_path / "model.onnx", 64)
    assert type(build("mkd", teacher, settings_for("mkd", {"map": "feature"})).to_map) is CoarseMap
