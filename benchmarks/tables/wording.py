"""Wordings that several tables share."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

__all__ = [
    "Row",
    "alone",
    "chosen",
    "made_on",
    "means_of",
    "middle",
    "pair",
    "percent",
    "ranged",
    "ranges",
    "seeds_of",
    "table",
    "where",
]

Row = dict[str, str]
"""One row of a results file: column -> value."""

AUROCS = ("image_auroc", "pixel_auroc")


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Make a Markdown table of cells."""
    cells = [list(header), *map(list, lines)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)


def chosen(rows: Sequence[Row], **values: str) -> list[Row]:
    """Keep the rows whose columns have these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def middle(rows: Sequence[Row], name: str) -> float:
    """Median of a column."""
    return statistics.median(float(row[name]) for row in rows)


def percent(row: Row, name: str) -> str:
    """Write a fraction in percent."""
    return f"{100 * float(row[name]):.1f}"


def where(rows: Sequence[Row]) -> str:
    """Say which size, teacher, precision, machine and code the figures come from."""
    first = rows[0]
    return f"{first['image_size']} px, teacher `{first['teacher']}`, {first['precision']}, {made_on(rows)}"


def made_on(rows: Sequence[Row]) -> str:
    """Say which machine and code the figures come from."""
    machines, dates, commits = (sorted({row[k] for row in rows}) for k in ("machine", "date", "commit"))
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"on {' and '.join(machines)}, {days}, commit {', '.join(commits)}"


def pair(rows: Sequence[Row]) -> str:
    """Write image and pixel AUROC in percent, as means over the rows that have them."""
    known = ([float(r[k]) for r in rows if r[k]] for k in AUROCS)
    return " / ".join(f"{100 * statistics.mean(values):.1f}" if values else "–" for values in known)


def means_of(rows: list[Row]) -> dict[str, list[float]]:
    """Figure -> for each seed, the mean over the categories that have the figure."""
    seeds = sorted(seeds_of(rows))
    return {
        name: [statistics.mean(float(r[name]) for r in chosen(rows, seed=s) if r[name]) for s in seeds]
        for name in AUROCS
    }


def seeds_of(rows: Sequence[Row]) -> set[str]:
    """Seeds of some rows."""
    return {row["seed"] for row in rows}


def alone(rows: Sequence[Row]) -> str:
    """Text to add to a label if all rows have one seed; else empty."""
    seeds = seeds_of(rows)
    return f", seed {seeds.pop()} alone" if len(seeds) == 1 else ""


def ranged(values: Sequence[float]) -> str:
    """Write the mean of fractions in percent, and half their range if there are several."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return f"{mean} ± {50 * (max(values) - min(values)):.1f}" if len(values) > 1 else mean


def ranges(rows: list[Row]) -> str:
    """Write image / pixel AUROC in percent: mean and half the range of the seeds' means over categories."""
    return " / ".join(ranged(values) for values in means_of(rows).values())
