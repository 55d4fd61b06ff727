"""What every method must do, whatever it is made of."""

from __future__ import annotations

import pytest
import torch

from understudy import METHODS, InputError
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.losses import affinity_distillation
from understudy.distill.maps import MapRecipe
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.methods import build, parse_assignments, settings_for
from understudy.types import Pair

every_method = pytest.mark.parametrize("method", list(METHODS))


def make(method: str, teacher: Teacher, **values: object) -> Distiller:
    return build(method, teacher, settings_for(method, values))


@every_method
@pytest.mark.parametrize("size", [(64, 64), (80, 112), (50, 70)])
def test_the_map_has_the_pictures_size_in_train_and_eval_mode(
    method: str, size: tuple[int, int], embedded: Teacher
) -> None:
    distiller = make(method, embedded)
    for mode in (True, False):
        anomaly_map, scores = distiller.train(mode).score(torch.randn(2, 3, *size))
        assert anomaly_map.shape == (2, 1, *size)
        assert anomaly_map.dtype == torch.float32
        assert torch.equal(scores, anomaly_map.flatten(1).amax(1))


@every_method
def test_gradients_reach_every_student_parameter_and_no_teacher_parameter(
    method: str, embedded: Teacher
) -> None:
    distiller = make(method, embedded)
    sum(distiller.training_loss(torch.randn(4, 3, 64, 64)).values()).backward()
    without = [n for n, p in distiller.student.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(p.grad is None for p in distiller.teacher.parameters())


@every_method
@pytest.mark.parametrize("teacher", [("resnet18", (4, 8, 16)), ("mobilenetv3_small_100", (8, 16))])
def test_any_timm_backbone_can_teach(method: str, teacher: tuple[str, tuple[int, ...]]) -> None:
    loaded, _, _ = load_teacher(*teacher, "random")
    distiller = make(method, loaded)
    losses = distiller.training_loss(torch.randn(2, 3, 64, 64))
    assert all(loss.isfinite() for loss in losses.values())


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_constant_picture_gives_finite_losses_and_scores(
    method: str, dtype: torch.dtype, level: float, embedded: Teacher
) -> None:
    distiller = make(method, embedded)
    images = torch.full((2, 3, 64, 64), level)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        losses = distiller.training_loss(images)
        anomaly_map, _ = distiller.eval().score(images)
    assert all(loss.isfinite() for loss in losses.values())
    assert anomaly_map.isfinite().all()


def test_snls_defaults_are_the_papers_full_method(embedded: Teacher) -> None:
    distiller = make("snl-rd", embedded)
    assert [(t.name, t.weight) for t in distiller.terms] == [
        ("cosine", 1.0),
        ("spatial", 1.0),
        ("intra", 1.0),
        ("inter", 1.0),
    ]
    crams = [m for m in distiller.student.modules() if isinstance(m, CRAM)]
    assert [tuple(c.centers.shape) for c in crams] == [(50, 320), (50, 112), (50, 40)]
    assert distiller.to_map.affinity == 1.0


@pytest.mark.parametrize(
    ("off", "terms", "crams"),
    [
        ({"lambda_spatial": 0, "lambda_intra": 0, "lambda_inter": 0, "centers": 0}, ["cosine"], 0),
        ({"lambda_intra": 0, "lambda_inter": 0, "centers": 0}, ["cosine", "spatial"], 0),
        ({"lambda_inter": 0, "centers": 0}, ["cosine", "spatial", "intra"], 0),
        ({"centers": 0}, ["cosine", "spatial", "intra", "inter"], 0),
        ({"lambda_intra": 0, "lambda_inter": 0}, ["cosine", "spatial"], 3),
        ({"centers": 25}, ["cosine", "spatial", "intra", "inter"], 3),
        ({"centers": 75}, ["cosine", "spatial", "intra", "inter"], 3),
    ],
)
def test_every_row_of_tables_5_and_6_can_be_set(
    off: dict[str, object], terms: list[str], crams: int, embedded: Teacher
) -> None:
    distiller = make("snl-rd", embedded, **off)
    assert [t.name for t in distiller.terms] == terms
    found = [m for m in distiller.student.modules() if isinstance(m, CRAM)]
    assert len(found) == crams
    assert all(len(c.centers) == off.get("centers", 50) for c in found)


@pytest.mark.parametrize("levels", [1, 2, 3, 9])
def test_affinities_can_be_those_of_the_coarsest_levels_alone(levels: int, embedded: Teacher) -> None:
    distiller = make("snl-rd", embedded, affinity_levels=levels)
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4, 2)]
    fine, coarse = pairs[:-levels], pairs[-levels:]
    losses = distiller.loss(pairs)
    for name, shift in (("intra", 0), ("inter", 1)):
        expected = torch.stack([affinity_distillation(pair, shift) for pair in coarse]).sum()
        torch.testing.assert_close(losses[name], expected)
    expected = MapRecipe(affinity=1.0)(coarse, (32, 32))
    if fine:
        expected = expected + MapRecipe()(fine, (32, 32))
    torch.testing.assert_close(distiller.to_map(pairs, (32, 32)), expected)


@pytest.mark.parametrize(("structure", "left"), [("kept", 1.0), ("falling", 0.25)])
def test_the_structural_terms_can_fall_and_the_cosine_never_does(
    structure: str, left: float, embedded: Teacher
) -> None:
    distiller = make("snl-rd", embedded, structure=structure, lambda_spatial=2.0)
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4)]
    begun, later = distiller.loss(pairs), distiller.loss(pairs, done=0.75)
    assert later["cosine"] == begun["cosine"]
    for name in ("spatial", "intra", "inter"):
        torch.testing.assert_close(later[name], left * begun[name])


def test_a_batch_of_one_leaves_inter_affinity_out_and_says_so(embedded: Teacher) -> None:
    with pytest.warns(UserWarning, match="inter-affinity is left out"):
        losses = make("snl-rd", embedded).training_loss(torch.randn(1, 3, 128, 128))
    assert list(losses) == ["cosine", "spatial", "intra"]


def test_settings_are_checked_and_the_known_ones_listed() -> None:
    with pytest.raises(InputError, match="has no setting 'centres'; it has cosine, lambda_spatial"):
        settings_for("snl-rd", {"centres": 3})
    with pytest.raises(InputError, match=r"centers=-1 of snl-rd"):
        settings_for("snl-rd", {"centers": -1})
    with pytest.raises(InputError, match="no method is named 'x'; there are stpm, rd, snl-fd, snl-rd, dskd"):
        settings_for("x")


def test_assignments_are_read_as_numbers_switches_or_words() -> None:
    assert parse_assignments(["centers=25", "per_center_alpha=true", "cosine=global", "temperature=0.5"]) == {
        "centers": 25,
        "per_center_alpha": True,
        "cosine": "global",
        "temperature": 0.5,
    }
    with pytest.raises(InputError, match="key=value, got 'centers'"):
        parse_assignments(["centers"])
