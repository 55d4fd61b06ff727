"""Results files -> SVG drawings, by matplotlib. The same rows give the same drawing."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from io import StringIO

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, NullLocator

from tables.choices import points_of, recipes_of
from tables.choose import models_of
from tables.wording import Row, chosen

__all__ = ["affinity", "presets", "recipe"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # safe for colour-blind readers


def affinity(rows: list[Row]) -> str:
    """Draw memory over pixels at the largest batch: every form, and dashed what whole matrices take."""
    batch_size = max(int(row["batch_size"]) for row in rows)
    rows = chosen(rows, batch_size=str(batch_size))
    axes = _axes("picture, pixels", f"memory, GB, batch of {batch_size}")
    for form, colour in zip(dict.fromkeys(row["form"] for row in rows), COLOURS, strict=False):
        measured = chosen(rows, form=form, outcome="measured")
        points = sorted((_pixels(row), float(row["own_mib"]) * 2**20 / 1e9) for row in measured)
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=form)
    needed = sorted({(_pixels(row), float(row["naive_needs_gb"])) for row in rows})
    axes.plot(*zip(*needed, strict=True), "--", color="#333333", label="whole matrices, computed minimum")
    axes.set(xscale="log", yscale="log")
    _plain_numbers(axes.yaxis, (1,))
    sizes = {_pixels(row): f"{row['image_size']} × {row['image_size']}" for row in rows}
    axes.set_xticks(list(sizes), list(sizes.values()))
    axes.set_xticks([], minor=True)
    return _svg(axes)


def recipe(rows: list[Row]) -> str:
    """Draw image AUROC, and dashed pixel AUROC, over seconds of training: means over categories and seeds."""
    axes = _axes("seconds of training", "AUROC, percent")
    for (label, own), colour in zip(recipes_of(rows).items(), COLOURS, strict=False):
        points = points_of(own).values()
        seconds = [statistics.mean(float(row["seconds"]) for row in at) for at in points]
        for what, line in (("image", "o-"), ("pixel", "s--")):
            named = [[float(row[f"{what}_auroc"]) for row in at if row[f"{what}_auroc"]] for at in points]
            auroc = [100 * statistics.mean(values) for values in named]
            axes.plot(seconds, auroc, line, color=colour, label=f"{label}, {what}")
    axes.set(xscale="log")
    _plain_numbers(axes.xaxis, (1, 2, 3, 5, 7))
    return _svg(axes)


def presets(read: Callable[[str], list[Row]]) -> str:
    """Draw image AUROC over milliseconds a picture, by runtime, and over minutes of training.

    Args:
        read: name of a results file -> its rows: times of ``presets``, figures of ``choose``.

    Returns:
        SVG; empty if no candidate has both.
    """
    timed = read("presets")
    models = models_of(read("choose"), list(dict.fromkeys(row["candidate"] for row in timed)))
    if not models:
        return ""
    auroc = {
        n: 100 * statistics.mean(float(r["image_auroc"]) for r in own if r["image_auroc"])
        for n, own in models.items()
    }
    figure = _figure()
    left = _axes("milliseconds a picture", "image AUROC, percent", figure, 121)
    right = _axes("minutes of training", "", figure, 122)
    for runtime, colour in zip(dict.fromkeys(row["runtime"] for row in timed), COLOURS, strict=False):
        own = [r for r in chosen(timed, runtime=runtime) if r["candidate"] in models and r["milliseconds"]]
        points = sorted((float(r["milliseconds"]), auroc[r["candidate"]]) for r in own)
        if points:
            left.plot(*zip(*points, strict=True), "o-", color=colour, label=runtime)
    minutes = {
        n: statistics.median(float(r["train_seconds"]) / 60 for r in own if r["train_seconds"])
        for n, own in models.items()
    }
    right.plot(list(minutes.values()), [auroc[n] for n in minutes], "o", color="#333333")
    for n, at in minutes.items():
        right.annotate(n, (at, auroc[n]), xytext=(0, 7), textcoords="offset points", ha="center")
    right.margins(x=0.2, y=0.15)
    for axes in (left, right):
        axes.set(xscale="log", ylim=right.get_ylim())
        _plain_numbers(axes.xaxis, (1, 2, 5))
    return _svg(left)


def _figure() -> Figure:
    return Figure(figsize=(7, 4.2), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))


def _axes(x: str, y: str, figure: Figure | None = None, place: int = 111) -> Axes:
    axes = (figure or _figure()).add_subplot(place, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd")
    return axes


def _plain_numbers(axis: Axis, steps: tuple[float, ...]) -> None:
    """Mark a logarithmic axis with plain numbers, only at these multiples of the powers of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def _svg(axes: Axes) -> str:
    """Add the legend and write the figure: text stays text, and ids do not depend on chance."""
    figure, text = axes.get_figure(root=True), StringIO()
    assert figure is not None
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "understudy"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _pixels(row: Row) -> int:
    return int(row["image_size"]) ** 2
