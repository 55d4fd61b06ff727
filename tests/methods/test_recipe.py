"""How long a recipe trains, and with which learning rates."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from understudy.methods import METHODS, method_named
from understudy.methods.recipe import Adam, AdamW, Recipe, Sgd, StableAdamW, at_their_rates, share_of_rate
from understudy.methods.stable_adamw import StableAdamWOptimiser

STEPS = 200
OWN_SCORE = ("uniad", "mkd")  # methods whose paper takes another score than the maximum of the map


def test_a_constant_rate_stays_and_a_cosine_rises_and_falls() -> None:
    assert {share_of_rate("constant", step, STEPS) for step in range(STEPS)} == {1.0}
    shares = [share_of_rate("cosine", step, STEPS) for step in range(STEPS + 1)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == 1.0
    assert shares[105] == pytest.approx(0.5)
    assert shares[STEPS] == pytest.approx(0.0)
    assert all(a >= b for a, b in pairwise(shares[10:]))
    assert all(
        math.isfinite(share_of_rate("cosine", step, steps)) for steps in (1, 2) for step in range(steps)
    )


def test_a_cosine_falls_to_the_least_share_and_rises_as_without_one() -> None:
    shares = [share_of_rate("cosine", step, STEPS, 0.1) for step in range(STEPS + 1)]
    assert shares[:11] == [share_of_rate("cosine", step, STEPS) for step in range(11)]
    assert shares[105] == pytest.approx(0.55)
    assert shares[STEPS] == pytest.approx(0.1)
    assert (Adam.least, Sgd.least, StableAdamW().least) == (0, 0, 0.1)


def test_a_recipe_sees_at_least_so_many_pictures_of_each_category() -> None:
    recipe = Recipe(pictures=100, pictures_each=30)
    assert [recipe.seen(categories) for categories in (1, 3, 4)] == [100, 100, 120]


def test_a_tuned_recipe_is_for_several_products_and_keeps_the_rest() -> None:
    tuned = Recipe(Sgd(lr=0.3), batch_size=5).tuned(averaging=0.9)
    assert (tuned.sampling, tuned.statistics, tuned.averaging) == ("balanced", "recomputed", 0.9)
    assert (tuned.optimiser, tuned.batch_size) == (Sgd(lr=0.3), 5)


def test_a_step_falls_to_a_tenth_after_four_fifths() -> None:
    shares = [share_of_rate("step", step, STEPS) for step in range(STEPS)]
    assert shares == [1.0] * 160 + [0.1] * 40
    assert share_of_rate("step", 0, 1) == 1.0


@pytest.mark.parametrize("method", list(METHODS))
def test_scores_are_comparable_but_for_the_papers_recipe_whose_score_is_the_papers(method: str) -> None:
    recipes = method_named(method).recipes
    assert {name: recipe.image_score for name, recipe in recipes.items()} == {
        "tuned": "comparable",
        "paper": "own" if method in OWN_SCORE else "maximum",
    }
    assert Recipe().image_score == "maximum"


@pytest.mark.parametrize(
    ("optimiser", "kind", "options"),
    [
        (Adam(0.1, (0.4, 0.9)), torch.optim.Adam, {"lr": 0.1, "betas": (0.4, 0.9)}),
        (
            StableAdamW(0.3, (0.5, 0.6), 1e-5, 0.7),
            StableAdamWOptimiser,
            {"lr": 0.3, "betas": (0.5, 0.6), "eps": 1e-5, "weight_decay": 0.7, "amsgrad": True},
        ),
        (
            AdamW(0.1, (0.4, 0.9), 0.3),
            torch.optim.AdamW,
            {"lr": 0.1, "betas": (0.4, 0.9), "weight_decay": 0.3},
        ),
        (Sgd(0.2, 0.8, 1e-3), torch.optim.SGD, {"lr": 0.2, "momentum": 0.8, "weight_decay": 1e-3}),
    ],
)
def test_an_optimiser_takes_its_numbers(
    optimiser: Adam | AdamW | Sgd | StableAdamW, kind: type[torch.optim.Optimizer], options: dict[str, object]
) -> None:
    made = optimiser.over(nn.Linear(2, 2).parameters())
    assert isinstance(made, kind)
    assert options.items() <= made.defaults.items()


def test_modules_that_say_a_share_learn_at_that_share_of_the_rate() -> None:
    slow, fast = nn.Linear(2, 3), nn.Linear(3, 1)
    slow.rate_share = 0.2  # type: ignore[assignment]
    made = Adam(0.5).over(at_their_rates(nn.Sequential(slow, nn.ReLU(), fast), 0.5))
    assert [group["lr"] for group in made.param_groups] == [0.5, pytest.approx(0.1)]
    assert [group["params"] for group in made.param_groups] == [
        [fast.weight, fast.bias],
        [slow.weight, slow.bias],
    ]
    (alone,) = Sgd(0.4).over(at_their_rates(slow, 0.4)).param_groups
    assert alone["lr"] == pytest.approx(0.08)


def test_a_student_without_a_share_has_one_group_as_it_had() -> None:
    student = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    (group,) = Adam().over(at_their_rates(student, 0.005)).param_groups
    assert group["params"] == list(student.parameters())
    assert group["lr"] == 0.005


def test_a_schedule_keeps_the_ratio_of_the_rates() -> None:
    slow, fast = nn.Linear(2, 3), nn.Linear(3, 1)
    slow.rate_share = 0.2  # type: ignore[assignment]
    made = Adam(0.5).over(at_their_rates(nn.Sequential(slow, fast), 0.5))
    torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.3)
    assert [group["lr"] for group in made.param_groups] == pytest.approx([0.15, 0.03])


@pytest.mark.parametrize("optimiser", [AdamW(), StableAdamW()])
def test_gradients_can_be_clipped_in_bf16(optimiser: AdamW | StableAdamW) -> None:
    made = optimiser.over(nn.Linear(2, 2).parameters())
    assert optimiser.clip
    assert not getattr(
        made, "_step_supports_amp_scaling", False
    )  # Lightning clips for no optimiser that does
