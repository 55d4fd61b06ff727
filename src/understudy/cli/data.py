"""``understudy data``: check a data set, or make a synthetic one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from understudy.cli.arguments import (
    BadOption,
    DataArgument,
    GoodOption,
    LayoutOption,
    open_data,
    parse_folder,
)
from understudy.cli.evaluate import show_table
from understudy.errors import InputError
from understudy.progress import reporting

if TYPE_CHECKING:
    from understudy.data.inspect import Inspection, Part
    from understudy.data.records import PictureSet

__all__ = ["data_app", "inspect", "synthesize"]

INSPECTION_SCHEMA = 1
_LINES = 10  # printed of each kind of fault, at most

data_app = typer.Typer(name="data", help="Check pictures before a run, or make some.", no_args_is_help=True)


@data_app.command()
def inspect(
    data: DataArgument,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="Format of the output.")
    ] = "text",
    decode: Annotated[
        bool,
        typer.Option(
            "--decode", help="Decode every picture and mask, which is slower and also finds empty masks."
        ),
    ] = False,
) -> None:
    """Report what DATA holds and what is wrong with it; exit code 1 if that would break or bias a run."""
    from understudy.data.inspect import inspect_data

    picture_set = open_data(data, layout, good, bad)
    with reporting(plain_lines=True) as reporter:
        inspection = inspect_data(picture_set, decode, reporter.advance)
    if format_ == "json":
        print(json.dumps(_as_json(inspection, picture_set), indent=2))
    else:
        _show(inspection, picture_set)
    if not inspection.is_sound:
        raise typer.Exit(1)


@data_app.command()
def synthesize(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", parser=parse_folder, help="New or empty folder for the pictures.")
    ],
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of the pictures.")] = 0,
    pictures: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=10**6, help="Number of good pictures of each product to learn from."
        ),
    ] = 60,
    size: Annotated[
        int, typer.Option(metavar="N", min=64, max=8192, help="Side of the pictures, in pixels.")
    ] = 256,
) -> None:
    """Make pictures of four products (MVTec AD layout) and of a kit (LOCO layout), with exact masks."""
    from understudy.data.layouts import open_pictures
    from understudy.data.overview import describe
    from understudy.lab.factory import FactoryPlan, LogicalPlan, write_factory, write_logical
    from understudy.runtime.walk import exists

    if exists(out) and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} holds something already; name a new or an empty folder")
    with reporting(plain_lines=True) as reporter:

        def advance_kit(what: str, done: int, total: int, note: str) -> None:
            reporter.advance(f"{what} kit", done, total, note)

        write_factory(out, FactoryPlan(train=pictures, size=size, seed=seed), reporter.advance)
        write_logical(out, LogicalPlan(train=pictures, size=size, seed=seed), advance_kit)
    print(describe(open_pictures(out)))


def _show(inspection: Inspection, picture_set: PictureSet) -> None:
    from understudy.data.overview import kinds_of_defect_lines, left_out_lines

    print(_printable(inspection.summary))
    show_table(_table(inspection))
    for line in (*kinds_of_defect_lines(picture_set), *left_out_lines(inspection.left_out)):
        print(_printable(line))
    check = (
        "every picture and mask decoded"
        if inspection.decoded
        else "headers and ends of files; --decode decodes all, and finds masks that mark nothing"
    )
    print(f"checked: {check}")
    if inspection.depth and inspection.depth.statement:
        print(inspection.depth.statement)
    for split, n in inspection.copies.items():
        print(f"copies within {split}: {n}")
    for line in _lines(inspection):
        print(_printable(line))
    serious = sum(finding.fault.is_serious for finding in inspection.findings)
    print(
        f"{serious or 'none'} of these findings would break or bias a run"
        if inspection.findings
        else "nothing is wrong"
    )


def _table(inspection: Inspection) -> Table:
    table = Table("category", "split", box=None, pad_edge=False)
    for name in ("good", "defects", "with mask"):
        table.add_column(name, justify="right")
    table.add_column("size")
    table.add_column("mode")
    for part in inspection.parts:
        counts = (part.good, part.defects, part.marked)
        modes = ", ".join(mode for mode, _ in part.modes.most_common())
        table.add_row(
            Text(_printable(part.category)), part.split, *map(str, counts), _sizes(part), Text(modes or "–")
        )
    return table


def _sizes(part: Part) -> str:
    """Format the smallest and the largest size, width x height, and the most common one."""
    smallest, largest, commonest = (_size(s) for s in (part.smallest, part.largest, part.commonest))
    return smallest if smallest == largest else f"{smallest}..{largest}, mostly {commonest}"


def _size(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "–"


def _lines(inspection: Inspection) -> Iterator[str]:
    """Yield one line per finding, up to a limit for each kind of fault."""
    for fault, findings in groupby(inspection.findings, key=lambda finding: finding.fault):
        members = list(findings)
        yield from (f"{fault}: {finding.text}" for finding in members[:_LINES])
        if members[_LINES:]:
            yield f"{fault}: {len(members) - _LINES} more (--format json lists all)"


def _printable(text: str) -> str:
    """Write out the bytes of names that are not valid Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


def _as_json(inspection: Inspection, picture_set: PictureSet) -> dict[str, Any]:
    from understudy.data.overview import kinds_of_defect

    parts = [
        {
            "category": part.category,
            "split": part.split,
            "good": part.good,
            "defects": part.defects,
            "with_mask": part.marked,
            "sizes": {
                name: size and {"width": size[1], "height": size[0]}
                for name, size in (
                    ("smallest", part.smallest),
                    ("largest", part.largest),
                    ("most_common", part.commonest),
                )
            },
            "modes": dict(part.modes.most_common()),
        }
        for part in inspection.parts
    ]
    return {
        "schema": INSPECTION_SCHEMA,
        "root": str(inspection.root),
        "layout": inspection.layout,
        "check": "decode" if inspection.decoded else "headers",
        "parts": parts,
        "kinds_of_defect": kinds_of_defect(picture_set),
        "copies": inspection.copies,
        "depth": inspection.depth and inspection.depth.depth.model_dump(),
        "findings": [
            {"fault": f.fault.value, "serious": f.fault.is_serious, "path": str(f.path), "text": f.text}
            for f in inspection.findings
        ],
        "left_out": [
            {"folder": str(each.folder), "files": each.files, "reason": each.reason}
            for each in inspection.left_out
        ],
        "sound": inspection.is_sound,
    }
