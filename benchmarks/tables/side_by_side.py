"""All methods on the same products: as one model for all, as one for each, and what sharing costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, median

from candidates import QUESTIONS
from tables.choose import FIGURES, alarms, by_seed, minutes, models_of, pairs_of
from tables.wording import Row, alone, made_on, ranged, seeds_of, table

__all__ = ["side_by_side"]


def side_by_side(read: Callable[[str], list[Row]]) -> str:
    """Show every method: figures of the model for all, image AUROC of one-class models, time and size.

    Args:
        read: name of a results file -> its rows: figures of ``choose``, sizes of ``methods_speed``.
    """
    rows, speeds = read("choose"), read("methods_speed")
    models = models_of(rows, QUESTIONS["methods"])
    if not models:
        return ""
    sizes = {row["candidate"]: row["megabytes"] for row in speeds if row["runtime"] == "onnx"}
    most = max((seeds_of(own) for own in models.values()), key=len)
    lines = [
        [
            name + ("" if seeds_of(own) == most else alone(own)),
            *(_mean(own, figure) for figure in FIGURES),
            alarms(own),
            *_shared(own, rows),
            minutes(own),
            f"{median(float(row['milliseconds']) for row in own):.0f}",
            sizes.get(name) or "–",
        ]
        for name, own in models.items()
    ]
    header = [
        "method",
        *FIGURES.values(),
        "false alarms at 1 / 5 %",
        "image AUROC of one-class models",
        "sharing costs",
        "most in",
        "minutes of training",
        "ms a picture",
        "MB as ONNX",
    ]
    every = [row for own in models.values() for row in own]
    note = (
        f"\nMeans of {len({r['category'] for r in every})} products in percent, over seeds "
        f"{', '.join(sorted(most))} (± half the range), of one model for all. One-class: a model for each "
        "product, which sees it as often. Sharing costs: points of image AUROC that the model for all is "
        "below the one-class models, over the seeds that both have, and the product in which that is most. "
        f"{made_on(every)}. `benchmarks/candidates.py` has the options. Made by `python benchmarks/choose.py "
        "--data REALBENCH --out benchmarks/results/choose.csv --questions methods`, once more with "
        "`--one-class`, and with `--speed` and another file.\n"
    )
    return table(header, lines) + note


def _mean(rows: Sequence[Row], figure: str) -> str:
    values = by_seed(rows, figure)
    return ranged(values) if values else "–"


def _shared(unified: Sequence[Row], rows: Sequence[Row]) -> tuple[str, str, str]:
    """Return the image AUROC of the one-class models, what sharing costs, and the product it costs most."""
    pairs = pairs_of(unified, rows)
    if not pairs:
        return "–", "–", "–"
    costs = {c: 100 * (single - shared) for c, (shared, single) in pairs.items()}
    most = max(costs, key=lambda c: costs[c])
    one_class = 100 * mean(single for _, single in pairs.values())
    return f"{one_class:.1f}", f"{mean(costs.values()):+.1f}", f"{most} {costs[most]:+.1f}"
