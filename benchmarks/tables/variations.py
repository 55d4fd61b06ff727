"""The default recipe beside variations of it, one line a variation."""

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
    """Show the way from RD by its release to the default, part by part; then some parts alone."""
    return _by_variant(
        [row for variant in LADDER for row in chosen(rows, variant=variant)],
        "The release is trained at the default's length, in batches of 8 as all the others, with a tenth of "
        "the good pictures held out",
        _command(LADDER),
    )


def variations(rows: list[Row]) -> str:
    """Show the default, and SNL as printed with one thing changed."""
    rows = [row for row in _of_all_seeds(rows) if not row["variant"].startswith("RD ")]
    return _by_variant(
        rows,
        f"Each line below '{KEPT}' is that one with the named thing changed. Where a line says 'and "
        "smoothing of 4 pixels', compare it with the line 'smoothing of 4 pixels'. The one-class models are "
        "trained by the default's recipe; together they see as many pictures as the unified model",
        _command(_variants(rows)),
    )


def once(rows: list[Row]) -> str:
    """Show what was trained with seed 0 alone, beside the training that it varies."""
    names = [name for name in _variants(rows) if seeds_of(chosen(rows, variant=name)) == {"0"}]
    return _by_variant(
        [row for row in chosen(rows, seed="0") if row["variant"] in (KEPT, *names)],
        "One training each: a difference of less than a point from the first line may be chance. Each line "
        "is the first one with the named thing changed",
        _command([KEPT, *names], seeds="0"),
    )


def elsewhere(rows: list[Row]) -> str:
    """Show the default beside the papers' recipe on products that no choice was made on."""
    return _by_variant(
        rows,
        "The demo's synthetic products with 30 good test pictures each, written by "
        "`write_factory(FACTORY, FactoryPlan(good=30))`; the papers' recipe at the same length",
        _command(_variants(rows), data="FACTORY --categories linen,veneer,nut,capsule", out="_factory"),
    )


def pasted(rows: list[Row]) -> str:
    """Show the default and the other candidates, on defects drawn on held-out good pictures."""
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
    """Make one line for each variant that has all seeds."""
    models: dict[str, list[Row]] = {}
    for row in _of_all_seeds(rows):
        alone = {"trained_on": row["category"]} if row["variant"].startswith("one-class") else {}
        models.setdefault(row["variant"], []).append(row | alone)
    return by_category(models, what, made_by)


def _variants(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row["variant"] for row in rows))


def _of_all_seeds(rows: list[Row]) -> list[Row]:
    """Keep the variants that have all seeds; a mean over fewer would not compare."""
    seeds = seeds_of(rows)
    return [row for row in rows if seeds_of(chosen(rows, variant=row["variant"])) == seeds]
