"""Results files -> drawings."""

from __future__ import annotations

import statistics

from plot import Axis, Line, line_chart
from tables.choices import points_of, recipes_of
from tables.wording import Row, chosen

__all__ = ["affinity", "recipe"]


def affinity(rows: list[Row]) -> str:
    """Memory against pixels at the largest batch, a line a form; dashed what the matrices would take."""
    batch_size = max(int(row["batch_size"]) for row in rows)
    rows = chosen(rows, batch_size=str(batch_size))
    pixels = {float(row["image_size"]) ** 2: f"{row['image_size']} x {row['image_size']}" for row in rows}
    lines = []
    for number, form in enumerate(dict.fromkeys(row["form"] for row in rows)):
        measured = [
            (int(row["image_size"]) ** 2, float(row["own_mib"]) * 2**20 / 1e9)
            for row in chosen(rows, form=form, outcome="measured")
        ]
        if measured:
            lines.append(Line(form, sorted(measured), number))
    needed = sorted({(int(row["image_size"]) ** 2, float(row["naive_needs_gb"])) for row in rows})
    lines.append(Line("matrices at least, computed", needed, len(lines), dashed=True))
    title = f"Memory of the affinity losses against picture size, batch of {batch_size}"
    return line_chart(
        title,
        lines,
        Axis("picture, pixels", is_log=True, ticks=pixels),
        Axis(f"memory, GB, batch of {batch_size}", is_log=True),
    )


def recipe(rows: list[Row]) -> str:
    """Image AUROC, and dashed pixel AUROC, against seconds of training; means over categories and seeds."""
    lines = []
    for number, (label, own) in enumerate(recipes_of(rows).items()):
        for name, dashed in {"image_auroc": False, "pixel_auroc": True}.items():
            points = [
                (
                    statistics.mean(float(row["seconds"]) for row in at),
                    100 * statistics.mean(float(row[name]) for row in at),
                )
                for at in points_of(own).values()
            ]
            lines.append(Line(f"{label}, {name.partition('_')[0]}", points, number, dashed))
    return line_chart(
        "Quality against seconds of training",
        lines,
        Axis("seconds of training", is_log=True),
        Axis("AUROC, percent"),
    )
