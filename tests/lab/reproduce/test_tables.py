"""The papers' tables, and the figures that they report."""

from __future__ import annotations

from statistics import mean

import pytest

from understudy.lab.reproduce.page import strongest_gains
from understudy.lab.reproduce.tables import (
    FIGURES,
    LOCO,
    MEAN,
    MVTEC,
    TABLES,
    VISA,
    TableCell,
    reported,
    sources,
)
from understudy.methods import METHODS, settings_for


def test_the_data_sets_have_as_many_categories_as_their_papers_say() -> None:
    assert [len(set(names)) for names in (MVTEC, VISA, LOCO)] == [15, 12, 5]
    assert all(list(names) == sorted(names) for names in (MVTEC, VISA, LOCO))


@pytest.mark.parametrize("name", TABLES)
def test_every_reported_figure_has_a_place_in_its_table_and_a_source(name: str) -> None:
    table = TABLES[name]
    labels = {*(variant.label for variant in table.variants), *table.only_reported}
    paper = reported(name, table)
    assert paper
    assert sources(name, table)
    for cell, value in paper.items():
        assert cell.variant in labels
        assert cell.models in table.models
        assert cell.figure in table.figures
        assert cell.category in (*table.categories, MEAN)
        assert 0.5 < value <= 1


@pytest.mark.parametrize("name", [name for name in TABLES if TABLES[name].level])
def test_a_papers_mean_is_that_of_its_categories_to_its_rounding(name: str) -> None:
    table = TABLES[name]
    (figure,) = table.figures
    paper = reported(name, table)
    labels = {cell.variant for cell in paper}
    assert labels == {"UniAD", "OmniAL", "FD", "SNL(FD)", "RD", "SNL(RD)"}
    for label in labels:
        for models in table.models:
            own = [paper[TableCell(label, models, c, figure)] for c in table.categories]
            assert mean(own) == pytest.approx(paper[TableCell(label, models, MEAN, figure)], abs=0.0011)


def test_the_means_behind_the_claim_are_the_papers() -> None:
    found = {}
    for name in ("snl-1", "snl-2", "snl-3", "snl-4"):
        (figure,), paper = TABLES[name].figures, reported(name, TABLES[name])
        found[name] = [
            round(100 * paper[TableCell(v, "unified", MEAN, figure)], 1) for v in ("RD", "SNL(RD)")
        ]
    assert found == {
        "snl-1": [94.4, 98.3],
        "snl-2": [92.8, 94.0],
        "snl-3": [96.0, 97.5],
        "snl-4": [96.2, 98.7],
    }


def test_the_categories_that_carry_the_gain_are_found_in_the_papers_figures() -> None:
    heavy = {name: strongest_gains(TABLES[name], reported(name, TABLES[name])) for name in TABLES}
    assert heavy["snl-1"] == ["bottle", "cable"]
    assert heavy["snl-4"][0] == "cashew"
    assert heavy["snl-5"] == heavy["stpm"] == []


def test_every_variant_is_a_method_with_settings_that_it_has() -> None:
    for table in TABLES.values():
        assert set(table.figures) <= set(FIGURES)
        for variant in table.variants:
            assert variant.method in METHODS
            settings_for(variant.method, variant.settings)  # raises where one is unknown


def test_the_ablation_switches_one_part_on_after_the_other() -> None:
    names = ("lambda_spatial", "lambda_intra", "lambda_inter", "centers")
    on = {
        v.label: [bool(getattr(settings_for(v.method, v.settings), name)) for name in names]
        for v in TABLES["snl-5"].variants
    }
    assert on == {
        "L_cd": [False, False, False, False],
        "+ L_sd": [True, False, False, False],
        "+ L_intra": [True, True, False, False],
        "+ L_inter": [True, True, True, False],
        "L_cd + L_sd + CRAM": [True, False, False, True],
        "all": [True, True, True, True],
    }
