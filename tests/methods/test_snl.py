"""SNL: what its settings switch on and off."""

from __future__ import annotations

import pytest
import torch

from understudy.distill.affinity import inter_affinity_distillation
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.maps import MapRecipe
from understudy.distill.teacher import Teacher
from understudy.methods import METHODS, build, settings_for
from understudy.types import Pair


def make(teacher: Teacher, **values: object) -> Distiller:
    return build("snl-rd", teacher, settings_for("snl-rd", values))


def test_snls_defaults_are_the_papers_full_method(embedded: Teacher) -> None:
    distiller = make(embedded)
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
    distiller = make(embedded, **off)
    assert [t.name for t in distiller.terms] == terms
    found = [m for m in distiller.student.modules() if isinstance(m, CRAM)]
    assert len(found) == crams
    assert all(len(c.centers) == off.get("centers", 50) for c in found)


@pytest.mark.parametrize("levels", [1, 2, 3, 9])
def test_affinities_can_be_those_of_the_coarsest_levels_alone(levels: int, embedded: Teacher) -> None:
    distiller = make(embedded, affinity_levels=levels)
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4, 2)]
    fine, coarse = pairs[:-levels], pairs[-levels:]
    losses = distiller.loss(pairs)
    for name, shift in (("intra", 0), ("inter", 1)):
        expected = torch.stack([inter_affinity_distillation(pair, shift) for pair in coarse]).sum()
        torch.testing.assert_close(losses[name], expected)
    expected = MapRecipe(affinity=1.0)(coarse, (32, 32))
    if fine:
        expected = expected + MapRecipe()(fine, (32, 32))
    torch.testing.assert_close(distiller.to_map(pairs, (32, 32)), expected)


@pytest.mark.parametrize(("anneal", "left"), [(False, 1.0), (True, 0.25)])
def test_the_structural_terms_can_fall_and_the_cosine_never_does(
    anneal: bool, left: float, embedded: Teacher
) -> None:
    distiller = make(embedded, anneal_structural_terms=anneal, lambda_spatial=2.0)
    pairs = [Pair(torch.randn(2, 6, side, side), torch.randn(2, 6, side, side)) for side in (8, 4)]
    begun, later = distiller.loss(pairs), distiller.loss(pairs, done=0.75)
    assert later["cosine"] == begun["cosine"]
    for name in ("spatial", "intra", "inter"):
        torch.testing.assert_close(later[name], left * begun[name])


@pytest.mark.parametrize("method", ["snl-rd", "snl-fd"])
def test_settings_of_the_first_edition_say_the_same_by_another_name(method: str) -> None:
    for structure, anneal in (("falling", True), ("kept", False)):
        first = settings_for(method, {"structure": structure, "centers": 7})
        assert first == settings_for(method, {"anneal_structural_terms": anneal, "centers": 7})
        assert "structure" not in first.model_dump()


def test_only_the_tuned_recipe_of_the_reverse_student_anneals() -> None:
    annealing = {
        (name, recipe)
        for name in ("snl-rd", "snl-fd")
        for recipe, how in METHODS[name].recipes.items()
        if settings_for(name, how.settings).model_dump()["anneal_structural_terms"]
    }
    assert annealing == {("snl-rd", "tuned")}
