"""The default recipe beside variations of it, a line a variation."""

from __future__ import annotations

from tables.by_category import by_category
from tables.wording import Row, chosen, seeds_of

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
COMMAND = "python benchmarks/variations.py --data REALBENCH --out benchmarks/results/variations.csv"


def recipe_step_by_step(rows: list[Row]) -> str:
    """From RD by its release to the default, a part of the recipe after the other; then parts alone."""
    return _by_variant(
        [row for variant in LADDER for row in chosen(rows, variant=variant)],
        "The first line is the release: the cosine of a whole picture, natural sampling, running statistics, "
        "the last weights, maps smoothed by four pixels; here at the default's length, a tenth of the good "
        "pictures held out. The second keeps the cosine alone of these, the third has hard cells in its "
        "place, the default SNL as well. Below, the cosine by cell: in the release, and in our recipe "
        "without the mean of weights, with every cell alike and with hard ones; the release has batches of "
        "16, here of 8 as all the others",
        f"`{COMMAND} --variants '{','.join(LADDER)}'`",
    )


def variations(rows: list[Row]) -> str:
    """The default and what becomes of it with one thing changed."""
    return _by_variant(
        [row for row in rows if not row["variant"].startswith("RD ")],
        "Each line is the default with what it says changed, and where it says so with maps smoothed by four "
        "pixels too, to be set beside the line that has these alone; one-class models together see as many "
        "pictures as the unified one",
        f"`{COMMAND}`",
    )


def once(rows: list[Row]) -> str:
    """What was trained with seed 0 alone, beside the default's training with it."""
    once = [name for name in _variants(rows) if seeds_of(chosen(rows, variant=name)) == {"0"}]
    return _by_variant(
        [row for row in chosen(rows, seed="0") if row["variant"] in ("default", *once)],
        "One training each, so that what is within a point of the default may be chance",
        f"`{COMMAND} --seeds 0`",
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


def _by_variant(rows: list[Row], what: str, made_by: str) -> str:
    """A line a variant that has all seeds of the default."""
    models: dict[str, list[Row]] = {}
    for row in _of_all_seeds(rows):
        alone = {"trained_on": row["category"]} if row["variant"].startswith("one-class") else {}
        models.setdefault(row["variant"], []).append(row | alone)
    return by_category(models, what, made_by)


def _variants(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _of_all_seeds(rows: list[Row]) -> list[Row]:
    """Rows of those variants that have the default's seeds; a mean over fewer would not compare."""
    seeds = seeds_of(chosen(rows, variant="default"))
    return [row for row in rows if seeds_of(chosen(rows, variant=row["variant"])) == seeds]
