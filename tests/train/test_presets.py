"""A preset sets method, teacher and picture size, and what is given comes first."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import get_args

import pytest

from understudy.errors import InputError
from understudy.methods import METHODS
from understudy.train.options import FitOptions, fit_options
from understudy.train.presets import PRESET_FIELDS, PRESETS
from understudy.types import PresetName


def test_every_preset_has_a_name_and_sets_options_that_exist() -> None:
    assert set(PRESETS) == set(get_args(PresetName))
    assert set(FitOptions.model_fields) >= PRESET_FIELDS
    assert all(preset["method"] in METHODS for preset in PRESETS.values())


@pytest.mark.parametrize("name", PRESETS)
def test_options_that_are_not_given_are_those_of_the_preset(name: PresetName) -> None:
    asked = fit_options({"preset": name, "method": None})

    assert {field: getattr(asked, field) for field in PRESET_FIELDS} == PRESETS[name]


def test_an_option_that_is_given_comes_first() -> None:
    asked = fit_options({"preset": "accurate", "method": "rd", "image_size": 128})

    assert (asked.method, asked.image_size) == ("rd", 128)
    assert asked.teacher == PRESETS["accurate"]["teacher"]


def test_without_a_preset_the_default_one_counts() -> None:
    assert fit_options({}) == fit_options({"preset": "fast"}) == FitOptions()


def test_an_unknown_preset_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InputError, match=r"preset: .*'fast', 'balanced' or 'accurate'"):
        fit_options({"preset": "quick"})


def test_the_help_has_the_figures_that_were_measured() -> None:
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "choose.csv"
    with results.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if len(row["trained_on"].split()) == 12]
    words = " ".join((FitOptions.model_fields["preset"].description or "").split())

    def figures(name: str, column: str, middle: Callable[[list[float]], float]) -> float:
        own = [row for row in rows if row["options"] == f'{{"preset": "{name}"}}']
        assert {row["seed"] for row in own} == {"0", "1", "2"}
        return middle([float(row[column]) for row in own if row[column]])

    for name in PRESETS:
        assert f"{name} {100 * figures(name, 'image_auroc', mean):.1f}" in words
    minutes = [f"{figures(name, 'train_seconds', median) / 60:.1f}" for name in PRESETS]
    assert f"{minutes[0]}, {minutes[1]} and {minutes[2]} minutes" in words
