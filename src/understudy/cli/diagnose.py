"""``understudy diagnose``: measure whether the categories of one model disturb each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from understudy.cli.arguments import (
    BadOption,
    DataArgument,
    DeviceOption,
    GoodOption,
    LayoutOption,
    ModelArgument,
    SignatureOption,
    open_data,
    parse_folder,
    parse_named,
)
from understudy.cli.evaluate import show_table
from understudy.errors import InputError
from understudy.progress import reporting

__all__ = ["diagnose", "mix_table", "parse_pairs", "paste_table"]

_ROWS = 10  # pairs that each table prints: those with the lowest AUROC
_PASTE_COLUMNS = {"pixel_auroc": "pixel", "aupro": "aupro", "image_auroc": "image"}


def diagnose(
    model: ModelArgument,
    data: DataArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=parse_folder, help="Folder for the results; MODEL/diagnosis by default."
        ),
    ] = None,
    one_class: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=parse_named,
            help="Folder with one model per category, FOLDER/<category>, to compare with.",
        ),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="A:B,C:D", help="Only these pairs, each with a patch of A pasted on B; all by default."
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=100_000,
            help="Number of mixes per pair, and of pastes per pair in --pairs, or over all pairs without it.",
        ),
    ] = 100,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of mixes and pastes.")] = 0,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    device: DeviceOption = "auto",
    require_signature: SignatureOption = None,
) -> None:
    """Mix and paste good test pictures of different categories; write diagnosis.json and diagnosis.html."""
    from understudy.files import write_json
    from understudy.lab.diagnose.page import write_diagnosis
    from understudy.model import Model
    from understudy.results import results_in

    asked = parse_pairs(pairs)
    loaded = Model.load(model, device, require_signature=require_signature)
    folder = out or model / "diagnosis"
    with results_in(folder, ["diagnosis.json", "diagnosis.html"]) as draft:
        with reporting(plain_lines=True) as reporter:
            result = loaded.diagnose(
                open_data(data, layout, good, bad),
                one_class=one_class,
                pairs=asked,
                pictures=pictures,
                seed=seed,
                progress=reporter,
            )
        write_json(draft / "diagnosis.json", result.figures)
        write_diagnosis(draft / "diagnosis.html", loaded.inspector, result)
    show_table(mix_table(result.figures))
    print()
    show_table(paste_table(result.figures))
    print(f"wrote {folder / 'diagnosis.json'} and {folder / 'diagnosis.html'}")


def parse_pairs(text: str | None) -> list[tuple[str, str]] | None:
    """Split pairs of categories: ``"a:b, c:d"`` -> ``[("a", "b"), ("c", "d")]``; ``None`` stays ``None``.

    Raises:
        InputError: a part is no pair.
    """
    if text is None:
        return None
    pairs = []
    for part in text.split(","):
        names = [name.strip() for name in part.split(":")]
        if len(names) != 2 or not all(names):
            raise InputError(f"--pairs takes two categories with a colon, such as cable:wood, got {part!r}")
        pairs.append((names[0], names[1]))
    return pairs


def mix_table(figures: dict[str, Any]) -> Table:
    """Return a table of the mixes and their controls: AUROC in percent and gap per pair, then the mean."""
    indexed = figures["one_class"] is not None
    table = _table("mix", ["auroc", "gap", "control auroc", "control gap", *["index"] * indexed])
    rows = sorted(figures["mix"]["pairs"], key=lambda r: r["mixed"]["together"]["auroc"])
    shown = [(f"{r['a']} + {r['b']}", r) for r in rows[:_ROWS]]
    for label, row in [*shown, (f"mean of {len(rows)}", figures["mix"]["mean"])]:
        both = [row["mixed"]["together"], (row["same_class"] or {}).get("together", {})]
        cells = [cell for f in both for cell in (_percent(f.get("auroc")), _plain(f.get("gap")))]
        if indexed:
            cells.append(_points(row["interference"]["index"]["auroc"]))
        table.add_row(Text(label), *cells, end_section=label == shown[-1][0])
    return table


def paste_table(figures: dict[str, Any]) -> Table:
    """Return a table of the pastes and their controls: metrics in percent per ordered pair, then the mean."""
    indexed = figures["one_class"] is not None
    names = [f"{kind}{n}" for kind in ("", "control ") for n in _PASTE_COLUMNS.values()]
    table = _table("paste", [*names, *(f"index {n}" for n in _PASTE_COLUMNS.values() if indexed)])
    rows = sorted(figures["paste"]["pairs"], key=lambda r: r["pasted"]["pixel_auroc"])
    shown = [(f"{r['patch']} on {r['background']}", r) for r in rows[:_ROWS]]
    for label, row in [*shown, (f"mean of {len(rows)}", figures["paste"]["mean"])]:
        both = [row["pasted"], row["same_class"] or {}]
        cells = [_percent(f.get(n)) for f in both for n in _PASTE_COLUMNS]
        if indexed:
            cells += [_points(row["interference"]["index"][n]) for n in _PASTE_COLUMNS]
        table.add_row(Text(label), *cells, end_section=label == shown[-1][0])
    return table


def _table(first: str, names: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
