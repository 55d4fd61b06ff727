"""What a fit takes from a recipe, and what is asked for by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from understudy import InputError, fit, load
from understudy.cli import main
from understudy.evaluate.report.page import _recipe, _training
from understudy.methods import METHODS, settings_for
from understudy.runtime.manifest import TrainingCard
from understudy.train.options import fit_options
from understudy.train.plan import recipe_of

QUICK = {"image_size": 64, "max_steps": 2, "batch_size": 4, "holdout": 0.0}


@pytest.mark.parametrize("method", METHODS)
def test_the_papers_recipe_has_the_papers_choices(method: str) -> None:
    recipe = recipe_of(fit_options({"method": method, "recipe": "paper"}))
    schedule = {"dinomaly": "cosine", "uniad": "step"}.get(method, "constant")
    assert (recipe.sampling, recipe.statistics, recipe.schedule) == ("natural", "running", schedule)
    assert recipe.averaging == 0
    assert settings_for(method, recipe.settings) == settings_for(method)


@pytest.mark.parametrize("method", METHODS)
def test_the_tuned_recipe_is_for_several_products(method: str) -> None:
    recipe = recipe_of(fit_options({"method": method}))
    assert (recipe.sampling, recipe.statistics) == ("balanced", "recomputed")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("image_score", ["maximum", "comparable", "own"])
def test_either_recipe_takes_the_score_that_is_named_and_else_has_its_own(
    method: str, image_score: str
) -> None:
    for recipe in ("tuned", "paper"):
        own = METHODS[method].recipes[recipe].image_score
        assert recipe_of(fit_options({"method": method, "recipe": recipe})).image_score == own
        asked = fit_options({"method": method, "recipe": recipe, "image_score": image_score})
        assert recipe_of(asked).image_score == image_score


@pytest.mark.parametrize("options", [["--image-score", "maximum"], ["--recipe", "paper"]])
def test_a_model_whose_score_is_a_maximum_is_trained_calibrated_and_scores_so(
    options: list[str], factory: Path, tmp_path: Path
) -> None:
    quick = ["--max-steps", "4", "--batch-size", "4", "--image-size", "64", "--strides", "8,16"]
    assert main(["fit", str(factory), "--out", str(tmp_path / "m"), *quick, *options]) == 0
    model = load(tmp_path / "m", "cpu")
    assert model.manifest.image_score == "maximum"
    assert not (tmp_path / "m" / "usual.npz").exists()
    assert model.calibration is not None
    assert model.calibration.thresholds.basis == "estimated"
    for found in model.predict(factory / "nut" / "test"):
        assert found.score == float(found.anomaly_map.max())


def test_what_is_asked_for_by_name_goes_before_the_recipe() -> None:
    assert recipe_of(fit_options({"averaging": 0.0})).averaging == 0  # nothing is an answer too
    options = {"lr": 0.1, "batch_size": 3, "sampling": "natural", "schedule": "constant"}
    recipe = recipe_of(fit_options({"settings": {"cosine": "local", "centers": 7}, **options}))
    assert (recipe.optimiser.lr, recipe.batch_size) == (0.1, 3)
    assert (recipe.sampling, recipe.schedule, recipe.statistics) == ("natural", "constant", "recomputed")
    settings = settings_for("snl-rd", recipe.settings).model_dump()
    assert (settings["cosine"], settings["centers"], settings["lambda_intra"]) == ("local", 7, 1.0)


def test_no_share_to_validate_with_is_an_answer_too() -> None:
    assert recipe_of(fit_options({"method": "stpm"})).validation == 0.2
    assert recipe_of(fit_options({"method": "stpm", "validation": 0.0})).validation == 0.0
    with pytest.raises(InputError, match="rd has no validation step"):
        recipe_of(fit_options({"method": "rd", "validation": 0.1}))


def test_a_model_says_by_which_recipe_it_came_about(factory: Path, tmp_path: Path) -> None:
    tuned = fit(factory, tmp_path / "a", **QUICK).manifest
    asked = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    assert main(["fit", str(factory), "--out", str(tmp_path / "b"), "--recipe=paper", *asked]) == 0
    paper = (tmp_path / "b" / "manifest.json").read_text()
    assert (tuned.training.recipe, tuned.settings["cosine"]) == ("tuned", "hard")
    assert tuned.training.averaging == 0.98
    assert '"recipe": "paper"' in paper
    assert '"cosine": "local"' in paper


def test_a_model_of_before_recipes_had_names_tells_none(factory: Path, tmp_path: Path) -> None:
    manifest = fit(factory, tmp_path / "m", **QUICK).manifest
    assert " px, 2 steps of 4" in _training(manifest)
    assert _recipe(manifest).startswith("tuned. ")
    older = manifest.training.model_dump()
    del older["recipe"]
    manifest = manifest.model_copy(update={"training": TrainingCard.model_validate(older)})
    assert " px, 2 steps of 4" in _training(manifest)
    assert _recipe(manifest).startswith("not recorded. ")
    assert "cosine=hard (paper: local)" in _recipe(manifest)


@pytest.mark.parametrize(
    ("method", "of_snl"), [("rd", {}), ("snl-rd", {"anneal_structural_terms": True, "affinity_map": 0.5})]
)
def test_the_reverse_base_has_a_recipe_of_its_own_with_snl_and_without(
    method: str, of_snl: dict[str, object]
) -> None:
    recipe = recipe_of(fit_options({"method": method}))
    assert recipe.settings == {"cosine": "hard", "smoothing": 1.0, "codebook": 300, **of_snl}
    assert (recipe.batch_size, recipe.averaging) == (8, 0.98)


def test_by_the_tuned_recipe_snls_terms_fall_and_its_affinity_map_weighs_half() -> None:
    tuned, paper = (
        settings_for("snl-rd", recipe_of(fit_options({"recipe": name})).settings).model_dump()
        for name in ("tuned", "paper")
    )
    assert (tuned["anneal_structural_terms"], tuned["affinity_map"]) == (True, 0.5)
    assert (paper["anneal_structural_terms"], paper["affinity_map"]) == (False, 1)
    assert [tuned[f"lambda_{term}"] for term in ("spatial", "intra", "inter")] == [1, 1, 1]


@pytest.mark.parametrize("method", ["stpm", "snl-fd", "dskd"])
def test_what_was_measured_for_the_reverse_base_is_not_claimed_for_others(method: str) -> None:
    recipe, paper = (recipe_of(fit_options({"method": method, "recipe": r})) for r in ("tuned", "paper"))
    assert (recipe.settings, recipe.averaging) == ({"codebook": 300}, 0)
    assert (recipe.batch_size, recipe.seen(6)) == (paper.batch_size, paper.seen(6))


@pytest.mark.parametrize("method", METHODS)
def test_a_codebook_stands_beside_the_student_by_the_tuned_recipe_alone(method: str) -> None:
    found = {r: recipe_of(fit_options({"method": method, "recipe": r})) for r in ("tuned", "paper")}

    centres = {r: settings_for(method, each.settings).model_dump()["codebook"] for r, each in found.items()}

    assert centres == {"tuned": 300, "paper": 0}


@pytest.mark.parametrize("name", ["paper", "tuned"])
@pytest.mark.parametrize("method", ["rd", "snl-rd"])
def test_a_transformer_as_student_is_trained_by_dinomalys_recipe_with_the_methods_own_settings(
    method: str, name: str
) -> None:
    of_dinomaly, own, changed = (
        recipe_of(fit_options({"method": m, "recipe": name, "settings": s, "seed": 0}))
        for m, s in (("dinomaly", {}), (method, {}), (method, {"student": "transformer"}))
    )
    assert changed == replace(of_dinomaly, settings={**own.settings, "student": "transformer"})
    asked = fit_options(
        {"method": method, "settings": {"student": "transformer"}, "lr": 0.5, "batch_size": 3}
    )
    assert (recipe_of(asked).optimiser.lr, recipe_of(asked).batch_size) == (0.5, 3)


@pytest.mark.parametrize(("categories", "pictures"), [(1, 3200), (6, 3200), (20, 3200), (50, 8000)])
def test_a_training_on_more_products_is_longer_only_when_each_would_be_seen_too_seldom(
    categories: int, pictures: int
) -> None:
    assert recipe_of(fit_options({})).seen(categories) == pictures
