"""Rows of the report's tables: their order, their figures, and reasons for what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from understudy.evaluate import NAMES
from understudy.evaluate.report.tables import FigureRow, figure_table, kind_rows, spro_rows, worst_first


def figures(auroc: float | None, **more: Any) -> dict[str, Any]:
    """Figures of a category, 0.5 but for its image AUROC."""
    values = dict.fromkeys(NAMES, 0.5) | {"image_auroc": auroc}
    counts = {"n_good": 3, "n_defect": 2, "n_masks": 1, "defects": {}, "au_spro": None}
    return values | counts | {"image_auroc_interval": None, "max_error": None, "missing": {}} | more


def metrics(**categories: dict[str, Any]) -> dict[str, Any]:
    mean, pooled = dict.fromkeys(NAMES, 0.5), figures(0.5)
    return {"categories": categories, "mean": mean, "pooled": pooled, "mean_au_spro": None}


def cell_of(row: FigureRow, name: str) -> tuple[float | None, str, int | None]:
    cell = row.cells[NAMES.index(name)]
    return cell.value, cell.hint, cell.note


def test_the_worst_category_is_first_equal_ones_by_name_and_one_without_a_figure_last() -> None:
    some = metrics(a=figures(None), d=figures(0.9), c=figures(0.0), b=figures(0.9))
    assert worst_first(some) == ["c", "b", "d", "a"]
    assert [row.label for row in figure_table(some).rows] == ["c", "b", "d", "a"]


def test_equal_reasons_share_a_number_and_those_of_a_mean_are_its_own() -> None:
    reason = {"image_auroc": "no defective test pictures"}
    some = metrics(a=figures(None, missing=reason), b=figures(None, missing=reason))
    some["mean"] = some["mean"] | {"image_auroc": None}
    some["pooled"] = figures(None)
    table = figure_table(some)
    assert {cell_of(row, "image_auroc") for row in table.rows} == {(None, reason["image_auroc"], 1)}
    assert cell_of(table.mean, "image_auroc") == (None, "no category has this figure", 2)
    assert cell_of(table.pooled, "image_auroc") == (None, "cannot be computed from these pictures", 3)
    assert table.reasons == [
        cell_of(row, "image_auroc")[1] for row in (table.rows[0], table.mean, table.pooled)
    ]


def test_a_row_of_a_category_has_counts_and_an_interval_and_an_error_where_pixels_were_binned() -> None:
    binned = figures(0.9, image_auroc_interval=[0.8, 1.0], max_error={"pixel_auroc": 0.0004, "aupro": None})
    table = figure_table(metrics(nut=binned))
    (row,) = table.rows
    assert (row.counts, row.interval) == ((3, 2, 1), (0.8, 1.0))
    assert cell_of(row, "pixel_auroc") == (0.5, "off by 0.04 points at most", None)
    assert cell_of(row, "aupro") == (0.5, "", None)
    assert (table.mean.counts, table.mean.interval) == ((), None)
    assert table.max_error == pytest.approx(0.0004)
    assert figure_table(metrics(nut=figures(0.9))).max_error == 0


def test_kinds_are_in_order_of_their_recall_or_of_their_auroc_where_nothing_was_judged() -> None:
    def kind(recall: float | None, flagged: float | None, auroc: float | None) -> dict[str, Any]:
        return {"n": 2, "recall": recall, "flagged": flagged, "image_auroc": auroc}

    judged = {"x": kind(0.5, 1.0, 0.9), "y": kind(0.5, 0.5, 0.9), "z": kind(0.0, 1.0, 0.9)}
    bare = {"v": kind(None, None, 0.8), "w": kind(None, None, 0.6), "u": kind(None, None, None)}
    rows = kind_rows(metrics(good=figures(0.9, defects=judged), bad=figures(0.1, defects=bare)))
    assert [(row.category, row.kind) for row in rows] == [
        *(("bad", "w"), ("bad", "v"), ("bad", "u")),
        *(("good", "z"), ("good", "y"), ("good", "x")),
    ]


def test_spro_has_a_row_a_kind_and_a_column_a_limit_where_it_was_measured() -> None:
    own = {"0.05": {"logical": 0.1, "mean": None}, "1": {"logical": 0.2, "mean": 0.3}}
    some = metrics(kit=figures(0.9, au_spro=own), nut=figures(0.8)) | {"mean_au_spro": own}
    limits, rows, mean = spro_rows(some)
    assert limits == ["0.05", "1"]
    assert [(row.category, row.kind, row.values) for row in rows] == [
        ("kit", "logical", (0.1, 0.2)),
        ("kit", "mean", (None, 0.3)),
    ]
    assert [(row.category, row.values) for row in mean] == [("mean", (0.1, 0.2)), ("mean", (None, 0.3))]
    assert spro_rows(metrics(nut=figures(0.8))) == ([], [], [])
