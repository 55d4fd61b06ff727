"""metrics.json -> rows of the report's tables, the category that does worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from understudy.evaluate import NAMES

__all__ = [
    "Cell",
    "FigureRow",
    "FigureTable",
    "KindRow",
    "SproRow",
    "figure_table",
    "kind_rows",
    "spro_rows",
    "worst_first",
]


Metrics = Mapping[str, Any]
_UNTOLD = {"mean": "no category has this figure", "pooled": "cannot be told from these pictures"}


@dataclass(frozen=True)
class Cell:
    """One figure, a fraction; what there is to say of it; the number of the reason if it is missing."""

    value: float | None
    hint: str
    note: int | None


@dataclass(frozen=True)
class FigureRow:
    """Figures of a category, or over all: ``counts`` of good pictures, defects and masks only of one."""

    label: str
    cells: tuple[Cell, ...]
    interval: tuple[float, float] | None
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class FigureTable:
    """The main table.

    Attributes:
        rows: of the categories.
        mean: of them.
        pooled: of all pictures together.
        reasons: of what is missing, number 1 first.
        max_error: largest error of any figure counted in bins; 0 where all are exact.
    """

    rows: list[FigureRow]
    mean: FigureRow
    pooled: FigureRow
    reasons: list[str]
    max_error: float


@dataclass(frozen=True)
class KindRow:
    """How one kind of defect is recognised; shares are ``None`` without thresholds."""

    category: str
    kind: str
    n: int
    recall: float | None
    flagged: float | None
    image_auroc: float | None


@dataclass(frozen=True)
class SproRow:
    """Area under the sPRO curve of one kind of anomaly, at every limit."""

    category: str
    kind: str
    values: tuple[float | None, ...]


def worst_first(metrics: Metrics) -> list[str]:
    """Categories by image AUROC from the lowest; those without one last."""

    def place(category: str) -> tuple[bool, float, str]:
        value = metrics["categories"][category]["image_auroc"]
        return value is None, value or 0.0, category

    return sorted(metrics["categories"], key=place)


def figure_table(metrics: Metrics) -> FigureTable:
    """Every figure of every category, of their mean and of all pictures together."""
    reasons: dict[str, int] = {}
    rows = [
        _row(c, own := metrics["categories"][c], reasons, (own["n_good"], own["n_defect"], own["n_masks"]))
        for c in worst_first(metrics)
    ]
    mean = _row("mean", metrics["mean"], reasons)
    pooled = _row("pooled", metrics["pooled"], reasons)
    errors = [own["max_error"] or {} for own in (*metrics["categories"].values(), metrics["pooled"])]
    largest = max((error for own in errors for error in own.values() if error is not None), default=0.0)
    return FigureTable(rows, mean, pooled, list(reasons), largest)


def _row(label: str, figures: Metrics, reasons: dict[str, int], counts: tuple[int, ...] = ()) -> FigureRow:
    """One row; reasons that are new get the next number."""
    missing, errors = figures.get("missing") or {}, figures.get("max_error") or {}
    cells = []
    for name in NAMES:
        if (value := figures[name]) is None:
            reason = missing.get(name) or _UNTOLD.get(label, _UNTOLD["pooled"])
            cells.append(Cell(None, reason, reasons.setdefault(reason, len(reasons) + 1)))
        else:
            error = errors.get(name)
            cells.append(Cell(value, f"off by {100 * error:.2g} points at most" if error else "", None))
    interval = figures.get("image_auroc_interval")
    return FigureRow(label, tuple(cells), tuple(interval) if interval else None, counts)


def kind_rows(metrics: Metrics) -> list[KindRow]:
    """Every kind of defect, the worst category first and in it the kind that is recognised worst."""
    return [
        KindRow(category, kind, own["n"], own["recall"], own["flagged"], own["image_auroc"])
        for category in worst_first(metrics)
        for kind, own in sorted(metrics["categories"][category]["defects"].items(), key=_recognised)
    ]


def _recognised(item: tuple[str, Metrics]) -> tuple[float, float, float]:
    _, own = item
    recall, flagged, auroc = (1.0 if own[n] is None else own[n] for n in ("recall", "flagged", "image_auroc"))
    return recall, flagged, auroc


def spro_rows(metrics: Metrics) -> tuple[list[str], list[SproRow], list[SproRow]]:
    """AU-sPRO: limits of the false-positive rate, rows of the categories that have any, and of their mean."""
    if metrics["mean_au_spro"] is None:
        return [], [], []
    own = {c: metrics["categories"][c]["au_spro"] for c in worst_first(metrics)}
    rows = [row for category, figures in own.items() if figures for row in _spro(category, figures)]
    return list(metrics["mean_au_spro"]), rows, _spro("mean", metrics["mean_au_spro"])


def _spro(label: str, figures: Mapping[str, Metrics]) -> list[SproRow]:
    kinds = next(iter(figures.values()))
    return [SproRow(label, kind, tuple(own[kind] for own in figures.values())) for kind in kinds]
