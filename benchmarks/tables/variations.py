"""The default recipe beside variations of it, the papers' recipe, and a memory bank."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from tables.wording import Row, chosen, pair, ranged, table, where

__all__ = ["means_of", "required", "variations"]

NAMES = ("image_auroc", "pixel_auroc")


def means_of(rows: list[Row]) -> dict[str, list[float]]:
    """By figure, of each seed the mean over the categories that have it."""
    seeds = sorted({row["seed"] for row in rows})
    return {
        name: [statistics.mean(float(r[name]) for r in chosen(rows, seed=s) if r[name]) for s in seeds]
        for name in NAMES
    }


def variations(rows: list[Row]) -> str:
    """Image / pixel AUROC by category, a line a variant that has all seeds of the first one."""
    first = rows[0]
    seeds, categories = {r["seed"] for r in chosen(rows, variant="default")}, first["trained_on"].split()
    lines = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = chosen(rows, variant=variant)
        if {row["seed"] for row in own} != seeds:
            continue  # a mean over fewer seeds would not compare
        means = " / ".join(ranged(values) for values in means_of(own).values())
        cells = [pair(chosen(own, category=c)) for c in categories]
        lines.append([variant, *cells, f"**{means}**", _seconds(own)])
    note = (
        f"\nImage / pixel AUROC in percent, mean over seeds {', '.join(sorted(seeds))} (± half the range in "
        "the mean column). Each line is the default with one thing changed; one-class models together see as "
        "many pictures as the unified one. Training: median over seeds, of runs that had both cores. "
        f"`snl-rd`, {where(rows)}. Made by `python benchmarks/variations.py --data REALBENCH --out "
        "benchmarks/results/variations.csv`.\n"
    )
    return table(["", *categories, "mean", "training"], lines) + note


def _seconds(rows: list[Row]) -> str:
    """Of a training on two cores, all models of a seed together; nothing where the cores were shared."""
    if any(row["threads"] != "2" for row in rows):
        return ""
    per_seed = []
    for seed in {row["seed"] for row in rows}:
        own = chosen(rows, seed=seed)
        one = {row["category"]: float(row["train_seconds"]) for row in own}
        per_seed.append(sum(one.values()) if rows[0]["variant"] == "one-class" else max(one.values()))
    return f"{statistics.median(per_seed):.0f} s"


def required(read_rows: Callable[[str], list[Row]]) -> str:
    """What a default is asked for, beside what was measured; empty until all of it was.

    Args:
        read_rows: name of a results file -> its rows.
    """
    ours, reproduced, bank = (read_rows(name) for name in ("variations", "reproduction", "memory_bank"))
    default, own = chosen(ours, variant="default"), chosen(ours, variant="one-class")
    baseline = chosen(reproduced, row="RD", models="unified")
    if not (default and own and baseline and bank):
        return ""
    image, pixel = (statistics.mean(v) for v in means_of(default).values())
    base_image, base_pixel = (statistics.mean(v) for v in means_of(baseline).values())
    best_bank = max(
        statistics.mean(means_of(chosen(bank, size="256", grid=grid))["image_auroc"])
        for grid in {row["grid"] for row in bank}
    )
    one_class = statistics.mean(means_of(own)["image_auroc"])
    below, category = max(
        (_mean_of(baseline, c) - _mean_of(default, c), c) for c in {row["category"] for row in default}
    )
    minutes = max(float(r["train_seconds"]) for r in default) / 60
    lines = [
        ["above unified RD by the paper's recipe, image AUROC", "at least 3", _points(image - base_image)],
        ["the same, pixel AUROC", "above 0", _points(pixel - base_pixel)],
        [f"below it in a category at most ({category})", "at most 1", _points(below)],
        ["below one-class models, image AUROC", "at most 1", _points(one_class - image)],
        ["above a memory bank, the better grid", "at least 2", _points(image - best_bank)],
        ["training on two cores, the slowest seed", "at most 15 min", f"{minutes:.1f} min"],
    ]
    return table(["the default unified SNL(RD) is", "asked for", "measured"], lines)


def _mean_of(rows: list[Row], category: str) -> float:
    return statistics.mean(float(row["image_auroc"]) for row in chosen(rows, category=category))


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"
