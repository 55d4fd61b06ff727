"""A table of models by category: image / pixel AUROC, their mean, and the time of a training."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from tables.wording import Row, chosen, pair, ranges, seeds_of, table, where

__all__ = ["by_category"]


def by_category(models: Mapping[str, list[Row]], what: str, made_by: str) -> str:
    """Make one line a model, and a note. Empty without any model.

    Args:
        models: label of a line -> its rows; all lines have the same seeds and categories.
        what: text of the note.
        made_by: commands that made the rows.
    """
    rows = [row for own in models.values() for row in own]
    if not rows:
        return ""
    categories = rows[0]["trained_on"].split()
    lines = [
        [label, *(pair(chosen(own, category=c)) for c in categories), f"**{ranges(own)}**", _seconds(own)]
        for label, own in models.items()
    ]
    header, timed = ["", *categories, "mean", "training"], ""
    if any(line[-1] for line in lines):
        timed = " Training: median over seeds, of runs that had both cores."
    else:
        header, lines = header[:-1], [line[:-1] for line in lines]
    note = (
        f"\nImage / pixel AUROC in percent, {_over(seeds_of(rows))}. {what}.{timed} {where(rows)}. "
        f"Made by {made_by}.\n"
    )
    return table(header, lines) + note


def _over(seeds: set[str]) -> str:
    if len(seeds) == 1:
        return f"seed {min(seeds)} alone"
    return f"mean over seeds {', '.join(sorted(seeds))} (± half the range in the mean column)"


def _seconds(rows: list[Row]) -> str:
    """Seconds of a training on two cores, all models of a seed together; empty if the cores were shared."""
    if any(row["threads"] != "2" for row in rows):
        return ""
    per_seed = (
        sum({row["trained_on"]: float(row["train_seconds"]) for row in chosen(rows, seed=seed)}.values())
        for seed in seeds_of(rows)
    )
    return f"{statistics.median(per_seed):.0f} s"
