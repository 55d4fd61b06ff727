"""The tables of ``station_drift.py``: false alarms of the drift monitor, and how soon it sees a change."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_high

from tables.wording import Row, chosen, made_on, table

__all__ = ["delays", "good_lines"]

COMMAND = (
    "python benchmarks/station_drift.py --data REALBENCH --model MODEL --figures FILE.npz --out RESULTS.csv"
)
NEVER = 10**6


def good_lines(rows: list[Row]) -> str:
    """Show how many good lines give a false alarm, by the order of pictures and the pictures that count."""
    own = chosen(rows, part="good lines")
    every = sorted({r["every"] for r in own}, key=int)
    kinds = list(dict.fromkeys((r["what"], r["block"]) for r in own))
    lines = []
    for what, block in kinds:
        by = {r["every"]: r for r in chosen(own, what=what, block=block)}
        label = what if block == "1" else f"{WORDS[what]}, {block} in a row"
        lines.append([label, *(_alarms(by[k]) if k in by else "–" for k in every)])
    header = [
        "pictures follow each other",
        *("all count" if k == "1" else f"one in {k} counts" for k in every),
    ]
    first = own[0]
    note = (
        "\nLines with a false alarm in any of the four streams, in percent of "
        f"{int(first['lines']):,} lines of one product, of which {int(first['pictures']):,} good pictures "
        "count (so a line where one in 10 counts has ten times as many); 1 % is promised for independent "
        "pictures. "
        f"The reference has {first['n_reference']} pictures, drawn at random. {_made(rows)}"
    )
    return table(header, lines) + note


WORDS = {"as files": "in the order of their files", "alike": "those alike beside each other"}


def _alarms(row: Row) -> str:
    return f"{100 * int(row['alarms']) / int(row['lines']):.1f}"


def delays(rows: list[Row]) -> str:
    """Show after how many pictures a change alarms, by size of the reference and time of the change."""
    own = chosen(rows, part="changed lines")
    sizes = sorted({r["n_reference"] for r in own}, key=int)
    times = sorted({r["pictures"] for r in own}, key=int)
    lines = []
    for what in dict.fromkeys(r["what"] for r in own):
        parts = [chosen(own, what=what, n_reference=n, pictures=t) for t in times for n in sizes]
        lines.append([what, *map(_delay, parts), _slowest(parts[-1]), _streams(parts[-1])])
    header = [
        "change",
        *(f"{'at once' if t == '0' else f'after {t}'}, {n}" for t in times for n in sizes),
        "hardest product",
        "first seen by",
    ]
    first, products = own[0], {r["product"] for r in own}
    note = (
        f"\nPictures until the alarm: median over {int(first['lines']) * len(products)} lines of "
        f"{len(products)} products (share of lines that alarm within 500 pictures, in percent), by when the "
        "change comes, at once or after so many good pictures, and by the number of pictures of the "
        "reference. All pictures count; with `every` it takes so many times longer. The last two columns are "
        f"of the cell before them. {_made(rows)}"
    )
    return table(header, lines) + note


def _delay(rows: Sequence[Row]) -> str:
    every = [int(x) or NEVER for r in rows for x in r["delay"].split()]
    middle = median_high(every)
    share = sum(x < NEVER for x in every) / len(every)
    return f"{'–' if middle >= NEVER else f'{middle}'} ({100 * share:.0f})"


def _slowest(rows: Sequence[Row]) -> str:
    def rank(row: Row) -> tuple[int, int]:
        return -int(row["alarms"]), median_high(int(x) or NEVER for x in row["delay"].split())

    worst = max(rows, key=rank)
    return f"{worst['product']}: {_delay([worst])}"


def _streams(rows: Sequence[Row]) -> str:
    names = ("score", "distance", "brightness", "sharpness")
    return max(names, key=lambda name: sum(int(r[f"first_{name}"]) for r in rows))


def _made(rows: Sequence[Row]) -> str:
    return f"Figures of six products of realbench, {made_on(rows)}. Made by `{COMMAND}`.\n"
