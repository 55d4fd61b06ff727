"""``understudy predict``: pictures -> score and verdict each, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from understudy.cli.arguments import DeviceName, DeviceOption, ModelArgument
from understudy.cli.tables import TableFormat, table_writer
from understudy.errors import InputError
from understudy.runtime.bundle import prepare_folder, writing
from understudy.runtime.decision import Thresholds
from understudy.runtime.heatmap import colour_span, heatmap
from understudy.runtime.images import read_picture
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
) -> None:
    """Score pictures. A picture that cannot be read is reported, the rest is scored; exit code 1."""
    import understudy

    form: TableFormat = format_.value
    if out is None and (heatmaps or form == "parquet"):
        raise InputError(f"{'--heatmaps' if heatmaps else '--format parquet'} needs a folder: add --out DIR")
    loaded = understudy.load(model, device.value)
    results = loaded.predict(paths, batch_size)
    if out:
        prepare_folder(out)
    broken = done = 0
    with table_writer(form, out / f"predictions.{form}" if out else None) as write:
        for result in results:
            if isinstance(result, understudy.PictureError):
                broken += 1
                typer.echo(f"understudy: {result}", err=True)
                write({"path": str(result.path), "score": None, "verdict": None, "error": str(result)})
                continue
            done += 1
            write(
                {
                    "path": str(result.path),
                    "score": result.score,
                    "verdict": result.verdict,
                    "error": None,
                }
            )
            if heatmaps and out:
                _write_heatmap(
                    out / "heatmaps" / f"{done:05d}-{result.path.stem}.png",
                    result,
                    loaded.thresholds,
                )
    print(f"{done} pictures scored, {broken} unreadable", file=sys.stderr)
    if broken:
        raise typer.Exit(1)


def _write_heatmap(path: Path, found: Prediction, thresholds: Thresholds | None) -> None:
    span = colour_span(thresholds, [found.score])
    overlay = heatmap(read_picture(found.path), found.anomaly_map, *span)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(overlay).save(path)
