"""The default beside the papers' recipe, RD trained for longer, one-class models and a memory bank."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tables.variations import KEPT
from tables.wording import Row, alone, chosen, made_on, means_of, pair, ranges, seeds_of, table, where

__all__ = ["differences", "processors", "summary"]

Read = Callable[[str], list[Row]]
"""Name of a results file -> its rows."""

BASELINE = "RD, the papers' recipe"
LONGER = "RD, ours, twice the steps"
ONE_CLASS = "SNL(RD), ours, one-class"
DEFAULT = "SNL(RD), ours, the default"


def summary(read_rows: Read) -> str:
    """Show AUROC by category of the default and of its rivals. Empty until all rows exist."""
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
    legend = (
        "Image AUROC / pixel AUROC in percent; 100 is perfect, 50 is guessing. Each is the mean of three "
        "trainings; ± is half the range of their means. One model serves all products; the *one-class* line "
        "has a model for each product. *Ours* is our recipe, which the default uses. A *memory bank* keeps "
        "features of the good pictures and trains nothing. `alien` has no masks, so no pixel AUROC.\n\n"
    )
    note = (
        f"\nOurs: {default[0]['steps']} steps of {default[0]['batch_size']} pictures, a tenth of the good "
        f"pictures held out, {where(default)}. The papers' recipe: {paper[0]['length']} of "
        f"{paper[0]['batch_size']}, none held out, {made_on(paper)}. The bank: without the same tenth, "
        f"{made_on(bank)}. Made by `benchmarks/variations.py`, `reproduction.py` and `memory_bank.py`.\n"
    )
    return legend + table(["", *categories, "mean"], lines) + note


def differences(read_rows: Read) -> str:
    """Show how far the default is above its rivals. Empty until all rows exist."""
    models, banks = _trained(read_rows), _banks(read_rows)
    if not _comparable(models, banks):
        return ""
    default, baseline = models[DEFAULT], models[BASELINE]
    below, worst = _furthest_below(baseline, default, "image_auroc")
    pixel_below, pixel_worst = _furthest_below(baseline, default, "pixel_auroc")
    best_bank = max(banks.values(), key=lambda rows: statistics.mean(means_of(rows)["image_auroc"]))
    others = {
        BASELINE: baseline,
        LONGER: models.get(LONGER, []),
        "one model for each product, ours": models[ONE_CLASS],
        "the better memory bank": best_bank,
    }
    lines = [
        [f"above {label}", *(_points(_gain(default, rows, name)) for name in ("image_auroc", "pixel_auroc"))]
        for label, rows in others.items()
        if rows
    ]
    lines.insert(
        1,
        [
            f"the same, in the product where that is least ({worst}; {pixel_worst})",
            _points(0 - below),
            _points(0 - pixel_below),
        ],
    )
    return table(["the default is", "image AUROC", "pixel AUROC"], lines)


def _gain(rows: list[Row], others: list[Row], name: str) -> float:
    """Difference of two means over categories and seeds."""
    return statistics.mean(means_of(rows)[name]) - statistics.mean(means_of(others)[name])


def processors(read_rows: Read) -> str:
    """Show the same trainings on another processor, which rounds differently. Empty until all rows exist."""
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
    """Rows of trained models, by label."""
    ours = read_rows("variations")
    longer = chosen(ours, variant="RD twice as long")
    return {
        **_by_paper(read_rows("reproduction")),
        "RD, ours": chosen(ours, variant="RD by our recipe"),
        **({LONGER: longer} if longer else {}),
        ONE_CLASS: chosen(ours, variant="one-class"),
        DEFAULT: chosen(ours, variant="default"),
    }


def _by_paper(rows: list[Row]) -> dict[str, list[Row]]:
    return {
        f"{row}, the papers' recipe": chosen(rows, table="snl-1", row=row, models="unified")
        for row in ("RD", "SNL(RD)")
    }


def _banks(read_rows: Read) -> dict[str, list[Row]]:
    """Rows of the memory bank by grid; a slow grid may have only one seed."""
    rows = chosen(read_rows("memory_bank"), size="256")
    return {
        f"memory bank, {grid} x {grid}{alone(own)}": own
        for grid in dict.fromkeys(row["grid"] for row in rows)
        if (own := chosen(rows, grid=grid))
    }


def _comparable(models: dict[str, list[Row]], banks: dict[str, list[Row]]) -> bool:
    """Whether all seeds and categories exist, and the default was trained on both cores."""
    whole = banks and all(seeds_of(rows) == {"0", "1", "2"} for rows in models.values())
    if not whole or any(row["threads"] != "2" for row in models[DEFAULT]):
        return False
    categories = {row["category"] for row in models[DEFAULT]}
    return all({row["category"] for row in rows} == categories for rows in (models | banks).values())


def _furthest_below(baseline: list[Row], rows: list[Row], name: str) -> tuple[float, str]:
    """By how much, and in which category, some rows are furthest below the baseline."""
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
