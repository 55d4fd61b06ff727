"""``understudy predict``: pictures -> score and verdict each, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.arguments import DeviceName, DeviceOption, ModelArgument
from understudy.cli.tables import COLUMNS, Row, TableFormat, table_writer
from understudy.errors import InputError
from understudy.stopwatch import Lap, Stopwatch, untimed

if TYPE_CHECKING:
    from understudy.runtime.decision import Thresholds
    from understudy.types import Prediction

__all__ = ["predict"]


class FormatName(StrEnum):
    """How the results are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def predict(
    model: ModelArgument,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the results; printed by default.")
    ] = None,
    format_: Annotated[FormatName, typer.Option("--format", help="How to write them.")] = FormatName.JSONL,
    heatmaps: Annotated[
        bool,
        typer.Option("--heatmaps", help="Also write a heat map beside each result; needs --out."),
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures scored at once.")] = 8,
    device: DeviceOption = DeviceName.AUTO,
    profile: Annotated[bool, typer.Option("--profile", help="Say on stderr where the time goes.")] = False,
) -> None:
    """Score pictures. A picture that cannot be read is reported, the rest is scored; exit code 1."""
    watch = Stopwatch() if profile else None
    lap: Lap = watch.lap if watch else untimed
    with lap("import", 0):
        import understudy
        from understudy.device import waiting_for
        from understudy.runtime.bundle import prepare_folder

        load = understudy.load  # imports what it needs

    form: TableFormat = format_.value
    if out is None and (heatmaps or form == "parquet"):
        raise InputError(f"{'--heatmaps' if heatmaps else '--format parquet'} needs a folder: add --out DIR")
    if out and any(path.resolve() in (out.resolve(), *out.resolve().parents) for path in paths):
        raise InputError(
            f"{out} lies among the pictures, and would be scored next time; choose another --out"
        )
    with lap("load", 0):
        loaded = load(model, device.value)
    if watch:
        watch.settle = waiting_for(loaded.device)
    if heatmaps and loaded.thresholds is None:
        raise InputError(f"--heatmaps colours by thresholds, and {model} has none; calibrate it first")
    results = loaded.predict(paths, batch_size, lap)
    if out:
        prepare_folder(out)
    broken = done = 0
    with table_writer(form, out / f"predictions.{form}" if out else None) as write:
        for result in results:
            row: Row = dict.fromkeys(COLUMNS) | {"path": str(result.path)}
            if isinstance(result, understudy.PictureError):
                broken += 1
                typer.echo(f"understudy: {result}", err=True)
                with lap("write", 1):
                    write(row | {"error": str(result)})
                continue
            done += 1
            row |= {"score": result.score, "verdict": result.verdict}
            if heatmaps and out and loaded.thresholds:
                shown = out / "heatmaps" / f"{done:05d}-{result.path.stem}.png"
                with lap("heat map", 1):
                    _write_heatmap(shown, result, loaded.thresholds)
                row["heatmap"] = str(shown)
            with lap("write", 1):
                write(row)
    print(f"{done} pictures scored, {broken} unreadable", file=sys.stderr)
    if watch:
        print(*watch.report(), sep="\n", file=sys.stderr)
    if broken:
        raise typer.Exit(1)


def _write_heatmap(path: Path, found: Prediction, thresholds: Thresholds) -> None:
    from PIL import Image

    from understudy.runtime.bundle import writing
    from understudy.runtime.heatmap import colour_span, heatmap
    from understudy.runtime.images import read_picture

    span = colour_span(thresholds, [found.score])
    overlay = heatmap(read_picture(found.path), found.anomaly_map, *span)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(overlay).save(path)
