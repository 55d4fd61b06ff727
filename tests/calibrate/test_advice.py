"""What more good pictures would gain is said of the product that has the fewest."""

from __future__ import annotations

import csv
import re
from itertools import pairwise
from pathlib import Path

import pytest

from understudy.calibrate import advice as module
from understudy.calibrate.advice import MISSED, advice, missed


def of(**products: int) -> dict[str, int]:
    return products


def test_what_is_missed_is_that_of_the_study_and_between_its_sizes_in_between() -> None:
    for size, share in MISSED.items():
        assert missed(size) == share
    for low, high in pairwise(sorted(MISSED)):
        middle = missed((low + high) // 2)
        assert min(MISSED[low], MISSED[high]) <= middle <= max(MISSED[low], MISSED[high])
    assert missed(1) == MISSED[min(MISSED)]
    assert missed(10**6) == MISSED[max(MISSED)]


def test_the_product_with_the_fewest_pictures_is_named_with_what_more_of_them_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MISSED", {10: 0.8, 20: 0.5, 50: 0.3, 100: 0.2})
    assert advice(of(nut=300, bolt=10)) == (
        "bolt has the fewest good pictures, 10: with 40 more, half less would be missed, as twelve real "
        "products showed"
    )
    monkeypatch.setattr(module, "MISSED", {10: 0.8, 100: 0.6})
    assert advice(of(nut=300, bolt=12)).startswith("bolt has the fewest good pictures, 12: with 88 more, ")
    assert "25 % less would be missed" in advice(of(nut=300, bolt=10))


def test_where_the_study_had_no_more_pictures_no_more_are_asked_for() -> None:
    for n in (max(MISSED), 10_000):
        assert "more would hardly find more" in advice(of(nut=n))


def test_what_is_gained_is_never_nothing_and_never_all() -> None:
    for n in range(1, 200):
        line = advice(of(nut=n))
        found = re.search(r": with (\d+) more, (?:half|(\d+) %) less", line)
        assert found or "hardly" in line
        if found:
            assert n + int(found[1]) in MISSED
            assert 0 < int(found[2] or 50) < 100


def test_of_products_with_as_few_pictures_the_first_by_name_is_named() -> None:
    assert advice(of(nut=10, bolt=10, axle=30)).startswith("bolt has the fewest good pictures, 10:")


def test_what_is_missed_is_what_the_study_measured() -> None:
    with (Path(__file__).parents[2] / "benchmarks" / "results" / "few_pictures.csv").open() as file:
        rows = [r for r in csv.DictReader(file) if (r["way"], r["rate"]) == ("estimated", "0.01")]
    for size, share in MISSED.items():
        found = [int(r["found"]) / int(r["n_defect"]) for r in rows if int(r["size"]) == size]
        assert 1 - sum(found) / len(found) == pytest.approx(share, abs=0.005)
