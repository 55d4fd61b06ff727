"""The SNL paper's tables on other real pictures, with the paper's rows as lines."""

from __future__ import annotations

from tables.by_category import by_category
from tables.wording import Row, chosen, seeds_of

__all__ = ["baselines", "centres", "terms"]


def baselines(rows: list[Row]) -> str:
    """Show RD and the forward base, alone and with SNL: table snl-1."""
    return _of_table(rows, "snl-1")


def terms(rows: list[Row]) -> str:
    """Show SNL's terms one after the other: table snl-5."""
    return _of_table(rows, "snl-5")


def centres(rows: list[Row]) -> str:
    """Show SNL with several numbers of centres in CRAM: table snl-6."""
    return _of_table(rows, "snl-6")


def _of_table(rows: list[Row], name: str) -> str:
    """Show the rows of a table that have all seeds and categories; a mean over fewer would not compare."""
    rows = chosen(rows, table=name, models="unified")
    if not rows:
        return ""
    first, seeds = rows[0], sorted(seeds_of(rows))
    runs = len(seeds) * len(first["trained_on"].split())
    labels = dict.fromkeys(row["row"] for row in rows)
    models = {label: own for label in labels if len(own := chosen(rows, row=label)) == runs}
    return by_category(
        models,
        f"One model for all, {first['length']} of {first['batch_size']} at a constant rate, every picture "
        "equally often, none held out; nothing was chosen on test pictures",
        f"`python benchmarks/reproduction.py --data REALBENCH --work DIR --table {name} --rows "
        f'"{",".join(models)}" --seeds {",".join(seeds)} --steps {first["length"].split()[0]} --out '
        "benchmarks/results/reproduction.csv`",
    )
