"""``understudy reproduce``: run a paper's table again and compare with what the paper reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from understudy.cli.arguments import (
    BadOption,
    CategoriesOption,
    DeviceOption,
    GoodOption,
    ImageSizeOption,
    LayoutOption,
    PrecisionOption,
    TeacherWeightsOption,
    open_data,
    parse_folder,
    split_names,
    split_numbers,
)
from understudy.progress import reporting

__all__ = ["reproduce"]


def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="Table to run: snl-1 to snl-4 (MVTec AD, VisA; image and pixel AUROC), snl-5 (terms), "
            "snl-6 (centres), stpm, or loco.",
        ),
    ],
    data: Annotated[
        Path, typer.Option(metavar="DATA", help="Data set to train and test on, in a layout that fit takes.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=parse_folder, help="Folder for the results of all tables.")
    ] = Path("reproduction"),
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Teacher network: any timm backbone; the paper's by default."),
    ] = None,
    teacher_weights: TeacherWeightsOption = None,
    seeds: Annotated[str, typer.Option(metavar="A,B,C", help="Random seeds to run and average.")] = "0,1,2",
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Length of every training in passes over the pictures; 100 for all categories, 200 for one.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Length of every training in optimiser steps, in place of epochs."
        ),
    ] = None,
    categories: CategoriesOption = None,
    rows: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only these rows of the table, such as 'RD,SNL(RD)'.")
    ] = None,
    models: Annotated[
        Literal["unified", "one-class"] | None,
        typer.Option(help="Only the unified models, or only the one-class models; both by default."),
    ] = None,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    image_size: ImageSizeOption = 256,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    workers: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Processes that share the cores and do a run each."),
    ] = 1,
) -> None:
    """Run what is still missing of a paper's table, and write it beside the paper's figures.

    After a stop, give the same command again: finished runs are kept, and an unfinished run is resumed.
    """
    import understudy

    with reporting(plain_lines=True) as reporter:
        made = understudy.reproduce(
            table,
            open_data(data, layout, good, bad),
            out,
            teacher=teacher,
            teacher_weights=teacher_weights,
            seeds=split_numbers(seeds, "--seeds"),
            epochs=epochs,
            max_steps=max_steps,
            categories=split_names(categories),
            rows=split_names(rows, "--rows"),
            models=models,
            image_size=image_size,
            device=device,
            precision=precision,
            workers=workers,
            progress=reporter,
        )
    print(made.text)
    print(f"page: {made.page}   runs: {made.runs}")
