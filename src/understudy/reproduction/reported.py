"""What the papers report, as data with its source: never typed into a table by hand."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from understudy.reproduction.tables import Models, Table

__all__ = ["MEAN", "Cell", "reported", "sources"]

MEAN = "mean"  # over categories, in place of one

_SNL = "arXiv:2402.17091, tables 1 to 4"
_FOLDERS = {"candles": "candle", "chewing_gum": "chewinggum"}  # as the data set names them


class Cell(NamedTuple):
    """Where a figure stands: a row, how it was learned, a category or :data:`MEAN`, and which figure."""

    variant: str
    models: Models
    category: str
    figure: str


def reported(name: str, table: Table) -> dict[Cell, float]:
    """A paper's figures as fractions; those that it gives."""
    if table.level:
        return dict(_by_category(table))
    (models,) = table.models
    return {
        Cell(row["variant"], models, row["category"], row["figure"]): float(row["percent"]) / 100
        for row in _rows("others.csv")
        if row["table"] == name
    }


def sources(name: str, table: Table) -> list[str]:
    """Where the figures are from, each source once."""
    if table.level:
        return [_SNL]
    return list(dict.fromkeys(row["source"] for row in _rows("others.csv") if row["table"] == name))


def _by_category(table: Table) -> Iterator[tuple[Cell, float]]:
    (figure,), labels = table.figures, {variant.label for variant in table.variants}
    for row in _rows("snl.csv"):
        if (row["dataset"], row["level"]) == table.level and row["method"] in labels:
            category = _FOLDERS.get(row["class"], row["class"])
            for models, column in (("unified", "multi_class_auroc"), ("one-class", "one_class_auroc")):
                if row[column]:
                    yield Cell(row["method"], models, category, figure), float(row[column]) / 100  # type: ignore[arg-type]


def _rows(name: str) -> Iterator[dict[str, str]]:
    text = (files(__package__) / "reported" / name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines())
