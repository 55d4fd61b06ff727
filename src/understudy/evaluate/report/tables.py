"""metrics.json -> rows of the report's tables, worst category first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.evaluate import NAMES

__all__ = [
    "Cell",
    "FigureRow",
    "FigureTable",
    "FoundRow",
    "FoundTable",
    "KindRow",
    "SproRow",
    "figure_table",
    "found_table",
    "kind_rows",
    "lead_rate",
    "spro_rows",
    "worst_first",
]


Metrics = Mapping[str, Any]
_LEAD_RATE = "0.01"  # rate of false alarms that comes first
_UNTOLD = {"mean": "no category has this figure", "pooled": "cannot be computed from these pictures"}


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        value: a fraction in [0, 1]; ``None`` if the figure is missing.
        hint: its largest error, or why it is missing; empty if there is nothing to say.
        note: number of the reason why it is missing, from 1; else ``None``.
    """

    value: float | None
    hint: str
    note: int | None


@dataclass(frozen=True)
class FigureRow:
    """Figures of a category, of the mean over categories, or of all pictures together.

    Attributes:
        label: name of the category, ``mean`` or ``pooled``.
        cells: one figure for each of ``NAMES``.
        interval: 95 % interval of image AUROC; ``None`` if it is unknown.
        counts: good pictures, defective pictures and marked ones; empty unless this is a category.
    """

    label: str
    cells: tuple[Cell, ...]
    interval: tuple[float, float] | None
    counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class FigureTable:
    """The main table.

    Attributes:
        rows: one row a category, worst first.
        mean: means over the categories.
        pooled: figures of all pictures together.
        reasons: why figures are missing, number 1 first.
        max_error: largest error of any figure, as a fraction; 0 if all are exact.
    """

    rows: list[FigureRow]
    mean: FigureRow
    pooled: FigureRow
    reasons: list[str]
    max_error: float


@dataclass(frozen=True)
class KindRow:
    """How well one kind of defect is recognised.

    Attributes:
        category: the product.
        kind: the kind of defect.
        n: number of pictures.
        recall: share of them that FAILs; ``None`` without thresholds.
        flagged: share that FAILs or goes to REVIEW; ``None`` without thresholds.
        image_auroc: against the good pictures of the category; ``None`` if there are none.
    """

    category: str
    kind: str
    n: int
    recall: float | None
    flagged: float | None
    image_auroc: float | None


@dataclass(frozen=True)
class SproRow:
    """Area under the sPRO curve of one kind of anomaly, for every limit of the false-positive rate."""

    category: str
    kind: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class FoundRow:
    """Defects found at each rate of false alarms: of a category, of the mean, or of all pictures together.

    Attributes:
        label: name of the category, ``mean`` or ``all``.
        found: share of the defects found at each rate.
        false_alarms: share of the good pictures that raise a false alarm, at each rate.
        as_said: whether this share is within what the rate allows, at each rate; ``None`` if it is unknown.
        oracle: share of the defects that the oracle finds at the rate that comes first.
    """

    label: str
    found: tuple[float | None, ...]
    false_alarms: tuple[float | None, ...]
    as_said: tuple[bool | None, ...]
    oracle: float | None


@dataclass(frozen=True)
class FoundTable:
    """The first table.

    Attributes:
        rates: rates of false alarms, smallest first.
        lead: the rate that comes first.
        lead_row: everything known at that rate: an entry of ``found_at`` in ``metrics.json``.
        rows: one row a category, the one with the fewest defects found first.
        mean: means over the categories.
        all: all pictures together.
        reasons: why other rates are missing.
    """

    rates: tuple[float, ...]
    lead: float
    lead_row: Mapping[str, Any]
    rows: list[FoundRow]
    mean: FoundRow
    all: FoundRow
    reasons: list[str]


def lead_rate(metrics: Metrics) -> str | None:
    """Return the rate of ``found_at`` that comes first: 1 %, else the nearest one; ``None`` without any."""
    known = [rate for rate, entry in (metrics["found_at"] or {}).items() if entry]
    return min(known, key=lambda rate: abs(float(rate) - float(_LEAD_RATE)), default=None)


def found_table(metrics: Metrics) -> FoundTable | None:
    """Build the table of defects found at rates of false alarms; ``None`` for a model without such limits."""
    if (lead := lead_rate(metrics)) is None:
        return None
    known = {rate: entry for rate, entry in metrics["found_at"].items() if entry}
    at_lead = known[lead]

    def place(category: str) -> tuple[bool, float, str]:
        value = at_lead["categories"][category]["found"]
        return value is None, value or 0.0, category

    def row(label: str, at: Sequence[Metrics], first: Metrics) -> FoundRow:
        return FoundRow(
            label,
            tuple(each["found"] for each in at),
            tuple(each["false_alarms"] for each in at),
            tuple(each.get("as_said") for each in at),
            first["oracle_found"],
        )

    entries = known.values()
    return FoundTable(
        tuple(map(float, known)),
        float(lead),
        at_lead,
        [
            row(c, [entry["categories"][c] for entry in entries], at_lead["categories"][c])
            for c in sorted(at_lead["categories"], key=place)
        ],
        row("mean", [entry["mean"] for entry in entries], at_lead["mean"]),
        row("all", [entry["all"] for entry in entries], at_lead["all"]),
        [f"{100 * float(rate):g} %: {why}" for rate, why in metrics["found_at_missing"].items()],
    )


def worst_first(metrics: Metrics) -> list[str]:
    """Categories sorted by image AUROC, lowest first; those without one come last."""

    def place(category: str) -> tuple[bool, float, str]:
        value = metrics["categories"][category]["image_auroc"]
        return value is None, value or 0.0, category

    return sorted(metrics["categories"], key=place)


def figure_table(metrics: Metrics) -> FigureTable:
    """Build the main table: every category, their mean, and all pictures together."""
    reasons: dict[str, int] = {}
    rows = [
        _row(c, row := metrics["categories"][c], reasons, (row["n_good"], row["n_defect"], row["n_masks"]))
        for c in worst_first(metrics)
    ]
    mean = _row("mean", metrics["mean"], reasons)
    pooled = _row("pooled", metrics["pooled"], reasons)
    errors = [row["max_error"] or {} for row in (*metrics["categories"].values(), metrics["pooled"])]
    largest = max((error for row in errors for error in row.values() if error is not None), default=0.0)
    return FigureTable(rows, mean, pooled, list(reasons), largest)


def _row(label: str, figures: Metrics, reasons: dict[str, int], counts: tuple[int, ...] = ()) -> FigureRow:
    """Build one row; a reason that is new gets the next number in ``reasons``."""
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
    """One row for every kind of defect: worst category first, and in it the worst recognised kind."""
    return [
        KindRow(category, kind, row["n"], row["recall"], row["flagged"], row["image_auroc"])
        for category in worst_first(metrics)
        for kind, row in sorted(metrics["categories"][category]["defects"].items(), key=_recognised)
    ]


def _recognised(item: tuple[str, Metrics]) -> tuple[float, float, float]:
    """Sort key of a kind of defect: how well it is recognised; what is unknown counts as 1."""
    _, row = item
    recall, flagged, auroc = (1.0 if row[n] is None else row[n] for n in ("recall", "flagged", "image_auroc"))
    return recall, flagged, auroc


def spro_rows(metrics: Metrics) -> tuple[list[str], list[SproRow], list[SproRow]]:
    """Build the table of AU-sPRO.

    Returns:
        Limits of the false-positive rate, rows of the categories that have AU-sPRO, and rows of their mean.
        All are empty if no category has it.
    """
    if metrics["mean_au_spro"] is None:
        return [], [], []
    by_category = {c: metrics["categories"][c]["au_spro"] for c in worst_first(metrics)}
    rows = [row for category, figures in by_category.items() if figures for row in _spro(category, figures)]
    return list(metrics["mean_au_spro"]), rows, _spro("mean", metrics["mean_au_spro"])


def _spro(label: str, figures: Mapping[str, Metrics]) -> list[SproRow]:
    kinds = next(iter(figures.values()))
    return [SproRow(label, kind, tuple(row[kind] for row in figures.values())) for kind in kinds]
