"""The options of a fit: each is described, none is unknown, and bad values are refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from understudy import InputError
from understudy.train.options import FitOptions, fit_options


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
        ({"false_alarm_rate": 0}, "false_alarm_rate: Input should be greater than 0, got 0"),
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


def test_options_that_are_read_stay_as_they_are() -> None:
    asked = fit_options({"strides": [8, 16], "roi": "mask.png", "settings": {"centers": 5}})
    assert (asked.strides, asked.roi, asked.settings) == ((8, 16), Path("mask.png"), {"centers": 5})
    with pytest.raises(ValidationError, match="frozen"):
        asked.seed = 1  # type: ignore[misc]
