"""The default recipe beside variations of it, a line a variation."""

from __future__ import annotations

import statistics

from tables.wording import Row, chosen, pair, ranges, table, where

__all__ = [
    "elsewhere",
    "once",
    "pasted",
    "recipe_step_by_step",
    "variations",
]

LADDER = (
    "RD by the paper",
    "RD with the cosine by picture",
    "RD by our recipe",
    "default",
    "RD by the paper and the cosine by cell",
    "RD with last weights and every cell alike",
    "RD with last weights",
)
COMMAND = "`python benchmarks/variations.py --data REALBENCH --out benchmarks/results/variations.csv`"


def recipe_step_by_step(rows: list[Row]) -> str:
    """From RD by its release to the default, a part of the recipe after the other; then parts alone."""
    return _by_variant(
        [row for variant in LADDER for row in chosen(rows, variant=variant)],
        "The first line is the release: the cosine of a whole picture, natural sampling, running statistics, "
        "the last weights, maps smoothed by four pixels; here at the default's length, a tenth of the good "
        "pictures held out. The second keeps the cosine alone of these, the third has hard cells in its "
        "place, the default SNL as well. Below, the cosine by cell: in the release, and in our recipe "
        "without the mean of weights, with every cell alike and with hard ones",
        COMMAND,
    )


def variations(rows: list[Row]) -> str:
    """The default and what becomes of it with one thing changed."""
    return _by_variant(
        [row for row in rows if not row["variant"].startswith("RD ")],
        "Each line is the default with what it says changed, and where it says so with maps smoothed by four "
        "pixels too, to be set beside the line that has these alone; one-class models together see as many "
        "pictures as the unified one",
        COMMAND,
    )


def once(rows: list[Row]) -> str:
    """What was trained with seed 0 alone, beside the default's training with it."""
    others = set(_variants(rows)) - set(_variants(_of_all_seeds(rows)))
    return _by_variant(
        [row for row in chosen(rows, seed="0") if row["variant"] in {"default", *others}],
        "One training each, so that what is within a point of the default may be chance",
        COMMAND,
    )


def elsewhere(rows: list[Row]) -> str:
    """The default beside the papers' recipe on products that nothing was chosen on."""
    return _by_variant(
        rows,
        "The demo's synthetic products with 30 good test pictures each, written by "
        "`write_factory(FACTORY, FactoryPlan(good=30))`; the papers' recipe at the same length",
        "`python benchmarks/variations.py --data FACTORY --categories linen,veneer,nut,capsule --variants "
        "'default,SNL(RD) by the paper,RD by the paper' --out benchmarks/results/variations_factory.csv`",
    )


def pasted(rows: list[Row]) -> str:
    """The default and what it was chosen from, by defects drawn on held-out good pictures."""
    return _by_variant(
        rows,
        "A fifth of the good pictures is kept from training; defects are drawn on copies of some of them, "
        "and no test picture is used. The papers' recipe at the same length",
        "`python benchmarks/pasted.py --data REALBENCH --out PASTED`, then `python benchmarks/variations.py "
        f"--data PASTED --variants '{','.join(_variants(rows))}' --out "
        "benchmarks/results/variations_pasted.csv`",
    )


def _by_variant(rows: list[Row], what: str, command: str) -> str:
    """Image / pixel AUROC by category, a line a variant that has all seeds of the default."""
    seeds, categories = _seeds(chosen(rows, variant="default")), rows[0]["trained_on"].split()
    rows = _of_all_seeds(rows)
    lines = []
    for variant in _variants(rows):
        own = chosen(rows, variant=variant)
        cells = [pair(chosen(own, category=c)) for c in categories]
        lines.append([variant, *cells, f"**{ranges(own)}**", _seconds(own)])
    note = (
        f"\nImage / pixel AUROC in percent, {_of_seeds(seeds)}. {what}. "
        f"Training: median over seeds, of runs that had both cores. {where(rows)}. "
        f"Made by {command}.\n"
    )
    return table(["", *categories, "mean", "training"], lines) + note


def _variants(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _seeds(rows: list[Row]) -> set[str]:
    return {row["seed"] for row in rows}


def _of_all_seeds(rows: list[Row]) -> list[Row]:
    """Rows of those variants that have the default's seeds; a mean over fewer would not compare."""
    seeds = _seeds(chosen(rows, variant="default"))
    return [row for row in rows if _seeds(chosen(rows, variant=row["variant"])) == seeds]


def _of_seeds(seeds: set[str]) -> str:
    if len(seeds) == 1:
        return f"seed {min(seeds)} alone"
    return f"mean over seeds {', '.join(sorted(seeds))} (± half the range in the mean column)"


def _seconds(rows: list[Row]) -> str:
    """Of a training on two cores, all models of a seed together; nothing where the cores were shared."""
    if any(row["threads"] != "2" for row in rows):
        return ""
    per_seed = []
    for seed in _seeds(rows):
        own = chosen(rows, seed=seed)
        one = {row["category"]: float(row["train_seconds"]) for row in own}
        per_seed.append(
            sum(one.values()) if rows[0]["variant"].startswith("one-class") else max(one.values())
        )
    return f"{statistics.median(per_seed):.0f} s"
