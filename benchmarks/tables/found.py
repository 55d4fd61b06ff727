"""Defects found at a false-alarm rate: by way of setting limits, by score, by number of good pictures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from tables.wording import Row, chosen, made_on, seeds_of, table

__all__ = ["few_pictures", "found", "found_by_product", "image_scores"]

WAYS = {
    "one limit for all": "maximum of the map, one limit for all from the held-out pictures (as before)",
    "promised": "comparable scores, one limit promised by the held-out pictures alone",
    "cross-fitted": "comparable scores, limits from models that each left a quarter out",
    "estimated": "**comparable scores, estimated tail (the default)**",
    "oracle": "oracle: limits from the good test pictures",
}
RATES = ("0.01", "0.05")


def found(rows: list[Row]) -> str:
    """Show what each way of setting limits finds, as means over products and seeds."""
    lines = []
    for way, label in WAYS.items():
        own = chosen(rows, way=way)
        if own:
            lines.append([label, *(cell for rate in RATES for cell in _cells(chosen(own, rate=rate), rows))])
    header = [
        "limits",
        *(f"{name} at {100 * float(rate):g} %" for rate in RATES for name in ("found", "false alarms")),
    ]
    first = rows[0]
    n = [sum(int(r[k]) for r in _once(rows)) for k in ("n_good", "n_defect")]
    products = {r["category"] for r in rows}
    note = (
        f"\nDefects found, as mean over {len(products)} products and as share of what the oracle finds; good "
        f"pictures that fail: of all {n[0]}, and in the worst product. In percent, mean over seeds "
        f"{', '.join(sorted(seeds_of(rows)))} (± half the range); {n[1]} defects. `{first['method']}` as by "
        f"default, {made_on(rows)}. Made by `python benchmarks/found.py`.\n"
    )
    return table(header, lines) + note


def _cells(own: list[Row], rows: list[Row]) -> list[str]:
    """Found with its share of the oracle's, and false alarms with the worst product's."""
    rate = own[0]["rate"]
    seeds = sorted(seeds_of(own))
    shares = [_found(chosen(own, seed=s)) for s in seeds]
    of_oracle = mean(
        _found(chosen(own, seed=s)) / _found(chosen(rows, way="oracle", rate=rate, seed=s)) for s in seeds
    )
    alarms = mean(_alarms(chosen(own, seed=s)) for s in seeds)
    by_product = {
        c: mean(int(r["false_alarms"]) / int(r["n_good"]) for r in chosen(own, category=c))
        for c in sorted({r["category"] for r in own})
    }
    worst = max(by_product, key=lambda c: by_product[c])
    spread = f" ± {50 * (max(shares) - min(shares)):.1f}" if len(seeds) > 1 else ""
    found_cell = f"{100 * mean(shares):.1f}{spread} ({100 * of_oracle:.0f} % of the oracle)"
    return [found_cell, f"{100 * alarms:.1f} ({worst} {100 * by_product[worst]:.0f})"]


def _found(own: Sequence[Row]) -> float:
    return mean(int(r["found"]) / int(r["n_defect"]) for r in own)


def _alarms(own: Sequence[Row]) -> float:
    return sum(int(r["false_alarms"]) for r in own) / sum(int(r["n_good"]) for r in own)


def _once(rows: Sequence[Row]) -> list[Row]:
    """One row a product."""
    first = rows[0]
    return [r for r in rows if all(r[k] == first[k] for k in ("way", "rate", "seed", "size", "method"))]


def found_by_product(rows: list[Row]) -> str:
    """Show the default, the way before and the oracle for each product."""
    ways = ("one limit for all", "estimated", "oracle")
    lines = []
    for c in sorted({r["category"] for r in rows}):
        own = chosen(rows, category=c)
        cells = [
            f"{_mean(chosen(own, way=w, rate=rate), 'found', 'n_defect')} "
            f"({_mean(chosen(own, way=w, rate=rate), 'false_alarms', 'n_good')})"
            for rate in RATES
            for w in ways
        ]
        lines.append([c, own[0]["n_good"], own[0]["n_defect"], *cells])
    names = ("before", "default", "oracle")
    header = ["product", "good", "defects", *(f"{n} at {100 * float(r):g} %" for r in RATES for n in names)]
    return table(header, lines) + (
        "\nDefects found and, in brackets, good pictures that fail, in percent, mean over seeds "
        f"{', '.join(sorted(seeds_of(rows)))}. {made_on(rows)}.\n"
    )


def _mean(own: Sequence[Row], name: str, of: str) -> str:
    return f"{100 * mean(int(r[name]) / int(r[of]) for r in own):.0f}"


def image_scores(rows: list[Row]) -> str:
    """Show, for each method, what each image-level score finds at 1 % on either half, and the choice."""
    ways = [w for w in dict.fromkeys(r["way"] for r in rows) if not w.endswith(", oracle")]
    lines = []
    for method in dict.fromkeys(r["method"] for r in rows):
        own = chosen(rows, method=method, rate="0.01")
        by_half = {h: {w: 100 * _found(chosen(own, way=w, half=h)) for w in ways} for h in ("A", "B")}
        best = {h: max(ways, key=lambda w: found_by[w]) for h, found_by in by_half.items()}
        two_way = (by_half["B"][best["A"]] + by_half["A"][best["B"]]) / 2
        cells = [f"{by_half['A'][w]:.0f} / {by_half['B'][w]:.0f}" for w in ways]
        lines.append([f"`{method}`", *cells, f"{two_way:.0f} (A: {best['A']}; B: {best['B']})"])
    note = (
        "\nDefects found at 1 % of false alarms, half A / half B of the twelve products, in percent; limits "
        "estimated as by default. The last column takes on each half what the other half chose, and names "
        f"both choices. Seed {', '.join(sorted(seeds_of(rows)))}, {made_on(rows)}. Made by `python "
        "benchmarks/found.py --scores`.\n"
    )
    return table(["method", *ways, "chosen two-way"], lines) + note


def few_pictures(rows: list[Row]) -> str:
    """Show, for each number of good pictures, what each way of setting limits finds."""
    lines = []
    for size in sorted({int(r["size"]) for r in rows}):
        of_size = chosen(rows, size=str(size))
        for way, label in WAYS.items():
            own = chosen(of_size, way=way)
            if own:
                cells = [c for rate in RATES for c in _cells(chosen(own, rate=rate), of_size)]
                lines.append([str(size), label, *cells])
    header = [
        "good pictures",
        "limits",
        *(f"{name} at {100 * float(rate):g} %" for rate in RATES for name in ("found", "false alarms")),
    ]
    note = (
        "\nOf each product so many good pictures, or all if it has fewer, chosen by the seed; a tenth of "
        f"them is held out. Columns as above. Seed {', '.join(sorted(seeds_of(rows)))}, {made_on(rows)}. "
        "Made by `python benchmarks/found.py --sizes`.\n"
    )
    return table(header, lines) + note
