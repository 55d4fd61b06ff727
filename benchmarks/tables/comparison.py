"""The default beside the papers' recipe, one-class models and a memory bank, and what is asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tables.variations import KEPT
from tables.wording import Row, alone, chosen, made_on, means_of, pair, ranges, seeds_of, table, where

__all__ = ["processors", "required", "summary"]

Read = Callable[[str], list[Row]]
"""Name of a results file -> its rows."""

BASELINE = "RD, the papers' recipe"
ONE_CLASS = "SNL(RD), ours, one-class"
DEFAULT = "SNL(RD), ours, the default"


def summary(read_rows: Read) -> str:
    """AUROC by category of the default and of what it is set beside; empty until all is there."""
    models, banks = _trained(read_rows), _banks(read_rows)
    if not _comparable(models, banks):
        return ""
    default, paper, bank = models[DEFAULT], models[BASELINE], next(iter(banks.values()))
    categories = default[0]["trained_on"].split()
    lines = [
        [
            f"**{label}**" if label == DEFAULT else label,
            *(pair(chosen(rows, category=c)) for c in categories),
            ranges(rows),
        ]
        for label, rows in (banks | models).items()
    ]
    note = (
        "\nImage / pixel AUROC in percent, mean over seeds 0, 1, 2 (± half the range in the mean column), "
        "one model for all but for the one-class line, which sees as many pictures in all. Ours: "
        f"{default[0]['steps']} steps of {default[0]['batch_size']}, a tenth of the good pictures held out, "
        f"{where(default)}. The papers' recipe: {paper[0]['length']} of {paper[0]['batch_size']}, none held "
        f"out, {made_on(paper)}. The bank: all but the same tenth, {made_on(bank)}. Made by "
        "`benchmarks/variations.py`, `reproduction.py` and `memory_bank.py`.\n"
    )
    return table(["", *categories, "mean"], lines) + note


def required(read_rows: Read) -> str:
    """What is asked of a default, beside what was measured; empty until all is there."""
    models, banks = _trained(read_rows), _banks(read_rows)
    if not _comparable(models, banks):
        return ""
    default, baseline = models[DEFAULT], models[BASELINE]
    image, pixel = (statistics.mean(v) for v in means_of(default).values())
    base_image, base_pixel = (statistics.mean(v) for v in means_of(baseline).values())
    best_bank = max(statistics.mean(means_of(rows)["image_auroc"]) for rows in banks.values())
    one_class = statistics.mean(means_of(models[ONE_CLASS])["image_auroc"])
    below, worst = _furthest_below(baseline, default, "image_auroc")
    pixel_below, pixel_worst = _furthest_below(baseline, default, "pixel_auroc")
    minutes = max(float(row["train_seconds"]) for row in default) / 60
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


def processors(read_rows: Read) -> str:
    """The same trainings on another processor, which rounds otherwise; empty until all are there."""
    sides = [
        {
            **_by_paper(read_rows(f"reproduction{suffix}")),
            "RD, ours": chosen(read_rows(f"variations{suffix}"), variant="RD by our recipe"),
            f"SNL(RD), ours, {KEPT}": chosen(read_rows(f"variations{suffix}"), variant=KEPT),
        }
        for suffix in ("", "_elsewhere")
    ]
    if not all(rows for side in sides for rows in side.values()):
        return ""
    lines = [[label, *(ranges(side[label]) for side in sides)] for label in sides[0]]
    machines = [side["RD, ours"][0]["machine"].partition(",")[0] for side in sides]
    note = (
        "\nImage / pixel AUROC in percent, mean over seeds 0, 1, 2 and the same products (± half the range "
        f"over seeds); the second column {made_on([row for rows in sides[1].values() for row in rows])}.\n"
    )
    return table(["", *machines], lines) + note


def _trained(read_rows: Read) -> dict[str, list[Row]]:
    """Rows of what was trained, by label."""
    ours = read_rows("variations")
    return {
        **_by_paper(read_rows("reproduction")),
        "RD, ours": chosen(ours, variant="RD by our recipe"),
        ONE_CLASS: chosen(ours, variant="one-class"),
        DEFAULT: chosen(ours, variant="default"),
    }


def _by_paper(rows: list[Row]) -> dict[str, list[Row]]:
    return {
        f"{row}, the papers' recipe": chosen(rows, table="snl-1", row=row, models="unified")
        for row in ("RD", "SNL(RD)")
    }


def _banks(read_rows: Read) -> dict[str, list[Row]]:
    """Rows of the memory bank by grid; of a slow one there may be one seed alone."""
    rows = chosen(read_rows("memory_bank"), size="256")
    return {
        f"memory bank, {grid} x {grid}{alone(own)}": own
        for grid in dict.fromkeys(row["grid"] for row in rows)
        if (own := chosen(rows, grid=grid))
    }


def _comparable(models: dict[str, list[Row]], banks: dict[str, list[Row]]) -> bool:
    """Whether all seeds and categories are there, and the default's seconds are of both cores."""
    whole = banks and all(seeds_of(rows) == {"0", "1", "2"} for rows in models.values())
    if not whole or any(row["threads"] != "2" for row in models[DEFAULT]):
        return False
    categories = {row["category"] for row in models[DEFAULT]}
    return all({row["category"] for row in rows} == categories for rows in (models | banks).values())


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
