"""The default recipe beside variations of it, a line a variation."""

from __future__ import annotations

from collections.abc import Iterable

from tables.by_category import by_category
from tables.wording import Row, chosen, seeds_of

__all__ = [
    "elsewhere",
    "once",
    "pasted",
    "recipe_step_by_step",
    "variations",
]

KEPT = "terms kept to the end"
LADDER = (
    "RD by the paper",
    "RD with the cosine by picture",
    "RD by our recipe",
    KEPT,
    "default",
    "RD twice as long",
    "RD by the paper and the cosine by cell",
    "RD with last weights and every cell alike",
    "RD with last weights",
)


def recipe_step_by_step(rows: list[Row]) -> str:
    """From RD by its release to the default, a part of the recipe after the other; then parts alone."""
    return _by_variant(
        [row for variant in LADDER for row in chosen(rows, variant=variant)],
        "The first line is the release: the cosine of a whole picture, natural sampling, running statistics, "
        "the last weights, maps smoothed by four pixels; here at the default's length, a tenth of the good "
        "pictures held out. The second keeps the cosine alone of these, the third has hard cells in its "
        "place, the fourth SNL as printed as well; in the default SNL's terms fall, and the affinity map "
        "weighs half. Below, RD by our recipe in twice the steps; and the cosine by cell: in the release, "
        "and in our recipe without the mean of weights, with every cell alike and with hard ones. The "
        "release has batches of 16, here of 8 as all the others",
        _command(LADDER),
    )


def variations(rows: list[Row]) -> str:
    """The default, and what becomes of SNL as printed with one thing changed."""
    rows = [row for row in _of_all_seeds(rows) if not row["variant"].startswith("RD ")]
    return _by_variant(
        rows,
        f"Each line below '{KEPT}' is that one with what it says changed, and where it says so with maps "
        "smoothed by four pixels too, to be set beside the line that has these alone; one-class models, by "
        "the default's recipe, together see as many pictures as the unified one",
        _command(_variants(rows)),
    )


def once(rows: list[Row]) -> str:
    """What was trained with seed 0 alone, beside the training with it that it varies."""
    names = [name for name in _variants(rows) if seeds_of(chosen(rows, variant=name)) == {"0"}]
    return _by_variant(
        [row for row in chosen(rows, seed="0") if row["variant"] in (KEPT, *names)],
        "One training each, so that what is within a point of the first may be chance; each is the first "
        "with what it says changed",
        _command([KEPT, *names], seeds="0"),
    )


def elsewhere(rows: list[Row]) -> str:
    """The default beside the papers' recipe on products that nothing was chosen on."""
    return _by_variant(
        rows,
        "The demo's synthetic products with 30 good test pictures each, written by "
        "`write_factory(FACTORY, FactoryPlan(good=30))`; the papers' recipe at the same length",
        _command(_variants(rows), data="FACTORY --categories linen,veneer,nut,capsule", out="_factory"),
    )


def pasted(rows: list[Row]) -> str:
    """The default and what it was chosen from, by defects drawn on held-out good pictures."""
    return _by_variant(
        rows,
        "A fifth of the good pictures is kept from training; defects are drawn on copies of some of them, "
        "and no test picture is used. The papers' recipe at the same length",
        "`python benchmarks/pasted.py --data REALBENCH --out PASTED`, then "
        + _command(_variants(rows), data="PASTED", out="_pasted"),
    )


def _command(variants: Iterable[str], *, data: str = "REALBENCH", seeds: str = "0,1,2", out: str = "") -> str:
    return (
        f'`python benchmarks/variations.py --data {data} --seeds {seeds} --variants "{",".join(variants)}" '
        f"--out benchmarks/results/variations{out}.csv`"
    )


def _by_variant(rows: list[Row], what: str, made_by: str) -> str:
    """A line a variant that has all seeds."""
    models: dict[str, list[Row]] = {}
    for row in _of_all_seeds(rows):
        alone = {"trained_on": row["category"]} if row["variant"].startswith("one-class") else {}
        models.setdefault(row["variant"], []).append(row | alone)
    return by_category(models, what, made_by)


def _variants(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _of_all_seeds(rows: list[Row]) -> list[Row]:
    """Rows of those variants that have all seeds; a mean over fewer would not compare."""
    seeds = seeds_of(rows)
    return [row for row in rows if seeds_of(chosen(rows, variant=row["variant"])) == seeds]
