"""The options of a fit: each is described, none is unknown, and bad values are refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from understudy import InputError
from understudy.train.options import FitOptions, fit_options
from understudy.types import LEAST_RATE


def test_an_unknown_option_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="no option 'epoch'; there are ") as caught:
        fit_options({"epoch": 3})
    assert str(caught.value).partition("there are ")[2].split(", ") == list(FitOptions.model_fields)


@pytest.mark.parametrize("name", FitOptions.model_fields)
def test_every_option_is_described_by_a_sentence(name: str) -> None:
    description = FitOptions.model_fields[name].description
    assert description is not None
    assert re.fullmatch(r"[A-Z`].{10,}\.", description, re.S)
    assert not description.startswith("Of ")
    assert description.count("`") % 4 == 0  # pairs of two


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image_size": 31}, "image_size: Input should be greater than or equal to 32, got 31"),
        ({"holdout": 1}, "holdout: Input should be less than 1, got 1"),
        (
            {"false_alarm_rate": 0},
            "false_alarm_rate: Input should be greater than or equal to 0.000001, got 0",
        ),
        (
            {"averaging": 0.999999999},
            "averaging: Input should be less than or equal to 0.9999, got 0.999999999",
        ),
        ({"strides": (8, 0)}, "strides.1: Input should be greater than or equal to 1, got 0"),
        ({"max_steps": 10**9}, "max_steps: Input should be less than or equal to 10000000, got 1000000000"),
        (
            {"image_score": "mean"},
            "image_score: Input should be 'maximum', 'comparable' or 'own', got 'mean'",
        ),
        (
            {"review_budget": 1},
            "review_budget: Input should be less than or equal to 0.999999, got 1",
        ),
        ({"recipe": "best"}, "recipe: Input should be 'tuned' or 'paper', got 'best'"),
        ({"lr": 0}, "lr: Input should be greater than 0, got 0"),
        ({"seed": 2**31}, "seed: Input should be less than 2147483648, got 2147483648"),
        ({"cache": "lots"}, "cache: takes auto, off or a size such as 512MB, 2GB or 2GiB, got 'lots'"),
        ({"epochs": 2, "max_steps": 3}, "epochs and max_steps exclude each other"),
    ],
)
def test_a_bad_value_is_refused_in_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence) + "$"):
        fit_options(given)


NUMBERS = (
    *("image_size", "tile", "overlap", "epochs", "max_steps", "batch_size", "lr", "seed", "holdout"),
    *(
        "validation",
        "false_alarm_rate",
        "review_budget",
        "averaging",
        "workers",
        "checkpoint_every",
        "bit_depth",
    ),
)


@pytest.mark.parametrize("name", [name for name in NUMBERS if name in FitOptions.model_fields])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), 10**12, "", "many"])
def test_no_number_is_without_bounds(name: str, value: object) -> None:
    beside = {"tile": 64} if name == "overlap" else {}
    with pytest.raises(InputError, match=f"^{name}: .*, got {re.escape(repr(value))}$"):
        fit_options({name: value} | beside)


def test_a_rate_that_nothing_can_promise_is_refused() -> None:
    for rate in (0, 1, 1e-320, float("nan")):
        for name in ("false_alarm_rate", "review_budget"):
            with pytest.raises(InputError, match=rf"^{name}: "):
                fit_options({name: rate})
    assert fit_options({"false_alarm_rate": LEAST_RATE}).false_alarm_rate == LEAST_RATE


@pytest.mark.parametrize("name", ["strides", "categories", "teacher", "teacher_weights", "cache_features"])
def test_an_empty_list_or_text_is_no_value(name: str) -> None:
    empty = () if name in ("strides", "categories") else ""
    with pytest.raises(InputError, match=f"^{name}: .* at least 1 "):
        fit_options({name: empty})


@pytest.mark.parametrize(
    "given",
    [
        {"keep_aspect": True, "tile": 64},
        {"overlap": 4},
        {"resume": True, "overwrite": True},
    ],
)
def test_options_that_contradict_each_other_are_refused(given: dict[str, object]) -> None:
    fit_options(dict(list(given.items())[:1]) if "overlap" not in given else {"overlap": 4, "tile": 64})
    with pytest.raises(InputError):
        fit_options(given)


def test_the_score_of_a_picture_is_the_recipes_unless_it_is_named() -> None:
    assert fit_options({}).image_score is None
    for name in ("maximum", "comparable"):
        assert fit_options({"image_score": name}).image_score == name


def test_options_that_are_read_stay_as_they_are() -> None:
    asked = fit_options({"strides": [8, 16], "roi": "mask.png", "settings": {"centers": 5}})
    assert (asked.strides, asked.roi, asked.settings) == ((8, 16), Path("mask.png"), {"centers": 5})
    with pytest.raises(ValidationError, match="frozen"):
        asked.seed = 1  # type: ignore[misc]
