"""The default beside the papers' recipe, one-class models and a memory bank, and what is asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from tables.wording import Row, alone, chosen, made_on, means_of, pair, ranges, table, where

__all__ = ["required", "summary"]


@dataclass(frozen=True)
class Measured:
    """Rows of the default and of what it is set beside; of a slow bank there may be one seed alone."""

    default: list[Row]
    one_class: list[Row]
    rd: list[Row]
    by_paper: dict[str, list[Row]]
    banks: dict[str, list[Row]]


def _measured(read_rows: Callable[[str], list[Row]]) -> Measured | None:
    ours, reproduced, bank = (read_rows(name) for name in ("variations", "reproduction", "memory_bank"))
    found = Measured(
        chosen(ours, variant="default"),
        chosen(ours, variant="one-class"),
        chosen(ours, variant="RD by our recipe"),
        {
            f"{row}, the papers' recipe": chosen(reproduced, table="snl-1", row=row, models="unified")
            for row in ("RD", "SNL(RD)")
        },
        {
            f"memory bank, {grid} x {grid}{alone(own)}": own
            for grid in dict.fromkeys(row["grid"] for row in bank)
            if (own := chosen(bank, size="256", grid=grid))
        },
    )
    everything = [found.default, found.one_class, found.rd, *found.by_paper.values()]
    whole = found.banks and all({r["seed"] for r in rows} == {"0", "1", "2"} for rows in everything)
    if not whole or any(row["threads"] != "2" for row in found.default):
        return None
    categories = {row["category"] for row in found.default}
    alike = all({r["category"] for r in rows} == categories for rows in (*everything, *found.banks.values()))
    return found if alike else None


def summary(read_rows: Callable[[str], list[Row]]) -> str:
    """Image / pixel AUROC by category of the default and of what it is set beside; empty until all is there.

    Args:
        read_rows: name of a results file -> its rows.
    """
    found = _measured(read_rows)
    if found is None:
        return ""
    categories, lines = found.default[0]["trained_on"].split(), []
    ours = {"RD, ours": found.rd, "SNL(RD), ours, one-class": found.one_class}
    ours["**SNL(RD), ours, the default**"] = found.default
    for label, rows in {**found.banks, **found.by_paper, **ours}.items():
        lines.append([label, *(pair(chosen(rows, category=c)) for c in categories), ranges(rows)])
    bank = next(iter(found.banks.values()))
    paper = next(iter(found.by_paper.values()))
    note = (
        "\nImage / pixel AUROC in percent, mean over seeds 0, 1, 2 (± half the range in the mean column), "
        "one model for all but for the one-class line, which sees as many pictures in all. Ours: "
        f"{found.default[0]['steps']} steps of {found.default[0]['batch_size']}, a tenth of the good "
        f"pictures held out, {where(found.default)}. The papers' recipe: {paper[0]['length']} of "
        f"{paper[0]['batch_size']}, none held out, {made_on(paper)}. The bank: all but the same tenth, "
        f"{made_on(bank)}. Made by `benchmarks/variations.py`, `reproduction.py` and `memory_bank.py`.\n"
    )
    return table(["", *categories, "mean"], lines) + note


def required(read_rows: Callable[[str], list[Row]]) -> str:
    """What is asked of a default, beside what was measured; arguments as in :func:`summary`."""
    found = _measured(read_rows)
    if found is None:
        return ""
    baseline = found.by_paper["RD, the papers' recipe"]
    image, pixel = (statistics.mean(v) for v in means_of(found.default).values())
    base_image, base_pixel = (statistics.mean(v) for v in means_of(baseline).values())
    best_bank = max(statistics.mean(means_of(rows)["image_auroc"]) for rows in found.banks.values())
    one_class = statistics.mean(means_of(found.one_class)["image_auroc"])
    below, worst = _furthest_below(baseline, found.default, "image_auroc")
    pixel_below, pixel_worst = _furthest_below(baseline, found.default, "pixel_auroc")
    minutes = max(float(r["train_seconds"]) for r in found.default) / 60
    lines = [
        ["above unified RD by the papers' recipe, image AUROC", "at least 3", _points(image - base_image)],
        ["the same, pixel AUROC", "more than 0", _points(pixel - base_pixel)],
        [f"below it in a category, image AUROC (worst: {worst})", "at most 1", _points(below)],
        [f"the same, pixel AUROC (worst: {pixel_worst})", "at most 1", _points(pixel_below)],
        ["below one-class models, image AUROC", "at most 1", _points(one_class - image)],
        ["above a memory bank on its better grid", "at least 2", _points(image - best_bank)],
        ["trained on two cores, the slowest seed", "in 15 min", f"{minutes:.1f} min"],
    ]
    return table(["the default is", "asked for", "measured"], lines)


def _furthest_below(baseline: list[Row], rows: list[Row], name: str) -> tuple[float, str]:
    """By how much, and in which category, some rows are furthest below others."""
    means = [
        {
            row["category"]: [float(r[name]) for r in chosen(side, category=row["category"])]
            for row in side
            if row[name]
        }
        for side in (baseline, rows)
    ]
    return max((statistics.mean(means[0][c]) - statistics.mean(means[1][c]), c) for c in means[1])


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"
