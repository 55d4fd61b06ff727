"""What several tables say in the same way."""

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
"""One line of a results file, by column."""

AUROCS = ("image_auroc", "pixel_auroc")


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Cells -> a Markdown table."""
    cells = [list(header), *map(list, lines)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "".join("| " + " | ".join(line) + " |\n" for line in cells)


def chosen(rows: Sequence[Row], **values: str) -> list[Row]:
    """Those rows whose columns have these values."""
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def middle(rows: Sequence[Row], name: str) -> float:
    """Median of a column."""
    return statistics.median(float(row[name]) for row in rows)


def percent(row: Row, name: str) -> str:
    """A fraction in percent."""
    return f"{100 * float(row[name]):.1f}"


def where(rows: Sequence[Row]) -> str:
    """The machine and the code that figures come from, with size, teacher and precision."""
    first = rows[0]
    return f"{first['image_size']} px, teacher `{first['teacher']}`, {first['precision']}, {made_on(rows)}"


def made_on(rows: Sequence[Row]) -> str:
    """The machine and the code that figures come from."""
    machines, dates, commits = (sorted({row[k] for row in rows}) for k in ("machine", "date", "commit"))
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"on {' and '.join(machines)}, {days}, commit {', '.join(commits)}"


def pair(rows: Sequence[Row]) -> str:
    """Image and pixel AUROC in percent, means over those rows that have them."""
    known = ([float(r[k]) for r in rows if r[k]] for k in AUROCS)
    return " / ".join(f"{100 * statistics.mean(values):.1f}" if values else "–" for values in known)


def means_of(rows: list[Row]) -> dict[str, list[float]]:
    """By figure, of each seed the mean over the categories that have it."""
    seeds = sorted(seeds_of(rows))
    return {
        name: [statistics.mean(float(r[name]) for r in chosen(rows, seed=s) if r[name]) for s in seeds]
        for name in AUROCS
    }


def seeds_of(rows: Sequence[Row]) -> set[str]:
    """Seeds that rows are of."""
    return {row["seed"] for row in rows}


def alone(rows: Sequence[Row]) -> str:
    """What to add to a label where all rows are of one seed."""
    seeds = seeds_of(rows)
    return f", seed {seeds.pop()} alone" if len(seeds) == 1 else ""


def ranged(values: Sequence[float]) -> str:
    """Mean of fractions in percent, and half their range if there are several."""
    mean = f"{100 * statistics.mean(values):.1f}"
    return f"{mean} ± {50 * (max(values) - min(values)):.1f}" if len(values) > 1 else mean


def ranges(rows: list[Row]) -> str:
    """Image / pixel AUROC in percent: of the seeds' means over categories the mean, and half their range."""
    return " / ".join(ranged(values) for values in means_of(rows).values())
