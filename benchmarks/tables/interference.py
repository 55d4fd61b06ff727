"""What more categories cost, and how a model judges pictures that mix two of them."""

from __future__ import annotations

from tables.wording import Row, chosen, ranged, ranges, seeds_of, table, where

__all__ = ["diagnoses", "interference"]


def interference(rows: list[Row]) -> str:
    """Show AUROC on the same five categories: of one-class models, and of one model of 5, 10 and 20."""
    counts, seeds = sorted({int(row["count"]) for row in rows}), seeds_of(rows)
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        own = chosen(rows, recipe=recipe)
        parts = [chosen(own, what="one-class")]
        parts += [chosen(own, what="evaluate", count=str(count)) for count in counts]
        cells = [ranges(part) if seeds_of(part) == seeds else "–" for part in parts]
        lines.append([recipe, *cells])
    evaluated = chosen(rows, what="evaluate")
    categories = ", ".join(dict.fromkeys(row["category"] for row in evaluated))
    note = (
        f"\nImage / pixel AUROC in percent, mean over {categories} and over seeds {', '.join(sorted(seeds))} "
        "(± half their range); "
        f"every category is seen equally often, by a one-class model too, {where(evaluated)}. Made by "
        "`python benchmarks/interference.py --data REALBENCH --out benchmarks/results/interference.csv`.\n"
    )
    return table(["recipe", "one-class", *(f"{count} categories" for count in counts)], lines) + note


def diagnoses(rows: list[Row]) -> str:
    """Show MixDiag and PasteDiag of models of five categories; the index is one-class minus multi-class."""
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows if row["what"] == "mix"):
        cells = [
            _mean(chosen(rows, recipe=recipe, what=what), name)
            for what, name in (
                ("mix", "image_auroc"),
                ("mix, index", "image_auroc"),
                ("paste", "pixel_auroc"),
                ("paste, index", "pixel_auroc"),
                ("paste", "aupro"),
                ("paste, index", "aupro"),
            )
        ]
        lines.append([recipe, *cells])
    header = [
        "recipe",
        "MixDiag AUROC",
        "index",
        "PasteDiag pixel AUROC",
        "index",
        "PasteDiag AUPRO",
        "index",
    ]
    note = (
        "\nPercent, means over pairs and seeds (± half the range over seeds); the index is what one-class "
        "models have more. From the runs above.\n"
    )
    return table(header, lines) + note


def _mean(rows: list[Row], name: str) -> str:
    values = [float(row[name]) for row in rows if row[name]]
    return ranged(values) if values else "–"
