"""The tables of ``promises.py``: rates that were asked for, beside the true ones of made scores."""

from __future__ import annotations

from collections.abc import Sequence

from tables.wording import Row, chosen, made_on, percent, table

__all__ = ["broken", "estimated", "promised", "shapes"]

AS_FIT = {"basis": "estimated", "trained": "True"}
USUAL = {"optimism": "0.035", "levels_off": "30", "shift": "0.0"}


def promised(rows: list[Row]) -> str:
    """Show promised rates by the number of products and of pictures."""
    own = chosen(rows, basis="promised", shape="mixed", shift="0.0")
    note = (
        f"\nGood pictures that FAIL, in percent, where {_asked(rows)} is promised at most: mean over "
        f"{_draws(own)} calibrations (share of calibrations below what the promise is 95 % sure of). "
        f"All scores of a calibration are new to the model. {_scores(rows)}"
    )
    return _by_products(own, "below_bound") + note


def estimated(rows: list[Row]) -> str:
    """Show estimated rates by the number of products and of pictures."""
    own = chosen(rows, shape="mixed", **AS_FIT, **USUAL)
    each = {o: chosen(rows, shape="mixed", **AS_FIT, **(USUAL | {"optimism": o})) for o in ("0.0", "0.07")}
    none, twice = (_rate(chosen(part, products="10", pictures="25")) for part in each.values())
    note = (
        f"\nGood pictures that FAIL after `fit`, in percent, where {_asked(rows)} is asked for: mean over "
        f"{_draws(own)} trainings (share of them whose interval holds the true rate, 95 if right). A tenth "
        "of the pictures is held out. Each view of a picture, up to the thirtieth, lowers its score by 0.035 "
        f"standard deviations. Of 10 products of 25 pictures {none} FAIL if views lower no score, {twice} if "
        f"they lower it by twice as much. {_scores(rows)}"
    )
    return _by_products(own, "covered") + note


def shapes(rows: list[Row]) -> str:
    """Show estimated rates by the shape of scores, and where they go wrong."""
    own = chosen(rows, products="10", **AS_FIT, **USUAL)
    names = list(dict.fromkeys(row["shape"] for row in own))
    lines = [
        [_size(size), *(_cell(chosen(own, pictures=size, shape=name), "covered") for name in names)]
        for size in _sizes(own)
    ]
    note = (
        "\nAs above, for 10 products whose scores have one shape each: normal, exponential, Student's t with "
        "4 degrees of freedom (heavy), or normal with a pose that 3 % of the pictures show and that scores 4 "
        f"standard deviations higher. {_made(rows)}"
    )
    return table(["good pictures of each product", *names], lines) + note


def broken(rows: list[Row]) -> str:
    """Show what happens if new good pictures of one product are brighter than those given."""
    rows_of = chosen(rows, products="10", shape="mixed")
    lines = []
    for size in ("25", "300"):
        for shift in ("0.0", "1.0", "2.0", "3.0"):
            each = chosen(rows_of, pictures=size, shift=shift)
            promise = chosen(each, basis="promised")
            estimate = chosen(each, **AS_FIT, **(USUAL | {"shift": shift}))
            lines.append(
                [
                    f"{size}, {float(shift):g}",
                    *(percent(part[0], name) for part in (promise, estimate) for name in COLUMNS),
                ]
            )
    header = [f"{basis}: {name}" for basis in ("promised", "estimated") for name in COLUMNS.values()]
    note = (
        f"\nGood pictures that FAIL, in percent, where {_asked(rows)} is asked for. 10 products; new good "
        "pictures of one of them score higher than the pictures that set the thresholds, by so many of its "
        f"standard deviations. {_made(rows)}"
    )
    return table(["good pictures of each product, moved by", *header], lines) + note


COLUMNS = {"first": "that product", "others": "the others", "false_alarms": "all"}


def _by_products(rows: Sequence[Row], share: str) -> str:
    numbers = sorted({row["products"] for row in rows}, key=int)
    lines = []
    for size in _sizes(rows):
        own = chosen(rows, pictures=size)
        looked_at = max(float(row["looked_at"]) for row in own)
        cells = [_cell(chosen(own, products=n), share) for n in numbers]
        lines.append([_size(size), *cells, f"{100 * looked_at:.1f} of {100 * float(own[0]['budget']):g}"])
    header = [f"{n} product{'s' * (n != '1')}" for n in numbers]
    return table(["good pictures of each product", *header, "a person looks at"], lines)


def _sizes(rows: Sequence[Row]) -> list[str]:
    """Numbers of pictures, smallest first; a mixture comes last."""
    return sorted({row["pictures"] for row in rows}, key=lambda n: int(n) or 10**9)


def _size(pictures: str) -> str:
    return "5 to 300, mixed" if pictures == "0" else pictures


def _cell(rows: Sequence[Row], share: str) -> str:
    return f"{100 * float(rows[0]['false_alarms']):.2f} ({100 * float(rows[0][share]):.0f})" if rows else "–"


def _rate(rows: Sequence[Row]) -> str:
    return f"{100 * float(rows[0]['false_alarms']):.2f}" if rows else "–"


def _asked(rows: Sequence[Row]) -> str:
    return f"{100 * float(rows[0]['asked']):g}"


def _draws(rows: Sequence[Row]) -> str:
    numbers = sorted({int(row["draws"]) for row in rows})
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


def _scores(rows: Sequence[Row]) -> str:
    return (
        "Scores are made: every product has its own location, scale and shape of scores, and the true rates "
        "follow from them. The last column has the highest of its row: REVIEW and unknown products together, "
        f"in percent. {_made(rows)}"
    )


def _made(rows: Sequence[Row]) -> str:
    return (
        f"Made by `python benchmarks/promises.py --out benchmarks/results/promises.csv`, {made_on(rows)}.\n"
    )
