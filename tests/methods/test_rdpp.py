"""RD++: the release's loss, map and recipe, and what holds for a training as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy import InputError, WorkError, fit, load
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.maps import gaussian_blur
from understudy.distill.projection import ProjectedStudent
from understudy.distill.simplex_noise import PseudoAnomaly
from understudy.distill.teacher import Teacher
from understudy.distill.transport import partner_transport
from understudy.methods import Adam, build, settings_for
from understudy.methods.rdpp import PAPER, TUNED
from understudy.runtime.preprocess import Preprocess
from understudy.train.loop import train
from understudy.train.module import TrainingModule
from understudy.train.plan import TrainingPlan
from understudy.types import Pair

LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher("test_resnet", (8, 16), 64)


def made(teacher: Teacher, **settings: object) -> Distiller:
    return build("rdpp", teacher, settings_for("rdpp", settings))


def plan(**changes: object) -> TrainingPlan:
    values = {"steps": 4, "batch_size": 3, "optimiser": Adam(), "seed": 0, "precision": "32"}
    return TrainingPlan(device=torch.device("cpu"), checkpoint_every=2, **values | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pictures(factory: Path) -> PictureStore:
    return PictureStore([r.path for r in open_pictures(factory).train()][:6], LOOK)


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Of each picture's whole tensor."""
    return torch.cosine_similarity(one.flatten(1), other.flatten(1))


def test_the_loss_is_the_releases_but_for_the_transport_that_is_zero_there(teacher: Teacher) -> None:
    shapes = [(2, 6, 8, 8), (2, 9, 4, 4)]
    own, undone, noisy = ([Pair(torch.randn(s), torch.randn(s)) for s in shapes] for _ in range(3))
    noisy = [Pair(t, t + 0.5 * s) for t, s, _ in noisy]
    found = made(teacher).loss([*own, *undone, *noisy])
    per_cell = [1 - torch.cosine_similarity(p.student, p.teacher) for p in undone]
    above = [(cosine(*p[:2]) - 0.5).clamp_min(0) for p in noisy]
    expected = {
        "cosine": sum((1 - cosine(*p[:2])).mean() for p in own),
        "reconstruction": 0.2 * 0.01 / 1.11 * sum(each.mean() for each in per_cell),
        "contrast": 0.2 * 0.1 / 1.11 * sum(each.mean() for each in above),
    }
    torch.testing.assert_close(found, expected)
    assert found["contrast"] > 0


def test_clean_and_noisy_projections_are_both_taught_to_agree(teacher: Teacher) -> None:
    distiller = made(teacher)
    sides = [torch.randn(2, 6, 4, 4, requires_grad=True) for _ in range(2)]
    pairs = [Pair(torch.randn(2, 6, 4, 4), torch.randn(2, 6, 4, 4)) for _ in range(6)]
    pairs[2] = Pair(*sides)
    gradients = torch.autograd.grad(distiller.loss(pairs)["reconstruction"], sides)
    assert all(gradient.abs().amax(1).all() for gradient in gradients)


def test_transport_of_pairs_is_a_further_term_of_the_projected_features(teacher: Teacher) -> None:
    pairs = [Pair(torch.randn(3, 6, 4, 4), torch.randn(3, 6, 4, 4)) for _ in range(6)]
    without, found = (made(teacher, transport=t).loss(pairs, 2) for t in ("off", "pairs"))
    assert set(found) - set(without) == {"transport"}
    expected = 0.2 / 1.11 * sum(partner_transport(pair.student, 2) for pair in pairs[4:])
    torch.testing.assert_close(found["transport"], expected)


def test_the_map_compares_the_student_with_the_teachers_own_features(teacher: Teacher) -> None:
    distiller, images = made(teacher).eval(), torch.randn(2, 3, 64, 64)
    student = distiller.student
    assert isinstance(student, ProjectedStudent)
    with torch.no_grad():
        raw = teacher(images)
        projected = [projector(f) for projector, f in zip(student.projectors, raw, strict=True)]
        rebuilt = [pair.student for pair in student.student(None, projected)]
        maps = [
            F.interpolate(
                1 - torch.cosine_similarity(t, s)[:, None], (64, 64), mode="bilinear", align_corners=True
            )
            for t, s in zip(raw, rebuilt, strict=True)
        ]
        found, score = distiller.score(images)
    torch.testing.assert_close(found, gaussian_blur(maps[0] + maps[1], 4.0), rtol=1e-3, atol=1e-4)
    assert torch.equal(score, found.amax((1, 2, 3)))


def test_two_batches_whose_gradients_are_summed_take_the_step_of_one_batch_twice_as_large(
    teacher: Teacher,
) -> None:
    """The release sums the gradients of two batches before a step, and Adam's step has no scale."""
    distiller, images = made(teacher), torch.randn(4, 3, 64, 64)
    for layer in distiller.student.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()  # statistics of a batch are its own

    def gradients(batches: tuple[Tensor, ...]) -> list[Tensor]:
        torch.manual_seed(2)  # of the noise, which is drawn picture by picture
        losses = [sum(distiller.training_loss(batch).values()) for batch in batches]
        return list(torch.autograd.grad(sum(losses), list(distiller.student.parameters())))

    weights = [name.endswith("weight") for name, _ in distiller.student.named_parameters()]
    summed, whole = gradients(images.split(2)), gradients((images,))
    for is_weight, one, other in zip(weights, summed, whole, strict=True):
        if is_weight:  # normalisation leaves a projector's bias the gradient of rounding
            torch.testing.assert_close(one, 2 * other, rtol=1e-3, atol=2e-5)


def test_the_papers_recipe_is_the_releases() -> None:
    assert settings_for("rdpp", PAPER.settings).model_dump() == {
        "cosine": "global",
        "projection": 0.2,
        "transport": "off",
        "noise": "fixed",
        "smoothing": 4.0,
        "codebook": 0,
    }
    assert PAPER.optimiser == Adam(0.005, (0.5, 0.999))
    assert (PAPER.schedule, PAPER.batch_size, PAPER.statistics) == ("constant", 2 * 16, "running")
    assert TUNED.settings["noise"] == "per_sample"
    assert (TUNED.seen(12), TUNED.batch_size, TUNED.image_score) == (3200, 8, "comparable")


def test_projectors_learn_at_a_fifth_of_the_rate(teacher: Teacher) -> None:
    distiller = made(teacher)
    module = TrainingModule(distiller, LOOK, plan(optimiser=Adam(0.005)), "", 0.0)
    groups = module.configure_optimizers()["optimizer"].param_groups  # type: ignore[index, call-overload]
    student = distiller.student
    assert isinstance(student, ProjectedStudent)
    rates = {parameter: group["lr"] for group in groups for parameter in group["params"]}
    assert all(rates.pop(p) == pytest.approx(0.001) for p in student.projectors.parameters())
    assert set(rates.values()) == {0.005}
    assert set(rates) == set(student.student.parameters())


def test_noise_has_the_strength_that_pictures_before_normalising_have(teacher: Teacher) -> None:
    distiller = made(Teacher("resnet18", (8, 16), 64))
    (noise,) = (m for m in distiller.student.modules() if isinstance(m, PseudoAnomaly))
    expected = 0.2 / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(noise.strength.flatten(), expected)
    assert noise.tables == "fixed"


def test_a_level_of_one_cell_is_refused_with_the_way_out(factory: Path, tmp_path: Path) -> None:
    options = {"method": "rdpp", "image_size": 32, "max_steps": 1, "progress": False}
    with pytest.raises(
        InputError, match=r"of stride 32 has only one for 32 pixels; take a larger --image-size"
    ):
        fit(factory, tmp_path / "m", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("noise", ["fixed", "per_sample"])
def test_a_training_that_was_broken_off_ends_as_one_that_was_not(
    noise: str, teacher: Teacher, pictures: PictureStore, tmp_path: Path
) -> None:
    def learned(name: str, seed: int, resume: bool = False, stop: bool = False) -> dict[str, Tensor]:
        def advance(what: str, done: int, total: int, note: str) -> None:
            if stop and done == 3:
                raise WorkError("power cut")

        torch.manual_seed(seed)
        distiller = made(teacher, noise=noise, transport="pairs")
        how = plan(averaging=0.5, statistics="running")
        train(
            distiller, pictures, LOOK, how, tmp_path / name, description="t", resume=resume, advance=advance
        )
        return distiller.learned()

    unbroken = learned("a", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("understudy.train.callbacks._REPORT_EVERY", 1)
        with pytest.raises(WorkError, match="power cut"):
            learned("b", 0, stop=True)
    resumed = learned("b", 9, resume=True)
    assert resumed.keys() == unbroken.keys()
    assert all(torch.equal(resumed[k], unbroken[k]) for k in unbroken)
    assert not any(key.startswith("student._teacher") for key in unbroken)


def test_a_model_is_saved_loaded_and_judges(factory: Path, tmp_path: Path) -> None:
    quick = {"image_size": 64, "max_steps": 3, "batch_size": 4, "holdout": 0.34, "device": "cpu"}
    quick |= {"strides": (8, 16), "categories": ("nut",), "precision": "32"}
    fitted = fit(factory, tmp_path / "m", method="rdpp", progress=False, **quick)  # type: ignore[arg-type]
    model = load(tmp_path / "m", "cpu")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.distiller.score(images)[0], fitted.distiller.score(images)[0])
    for found, other in zip(
        model.predict(factory / "nut" / "test"), fitted.predict(factory / "nut" / "test"), strict=True
    ):
        assert found.ok
        assert found.score == other.score
