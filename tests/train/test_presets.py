"""A preset sets method, teacher and picture size, and what is given comes first."""

from __future__ import annotations

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
