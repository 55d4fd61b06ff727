"""``understudy predict``: score and verdict of each picture, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.arguments import DeviceOption, ModelArgument, parse_folder
from understudy.cli.tables import COLUMNS, ResultRow, TableFormat, table_writer
from understudy.errors import InputError
from understudy.progress import Lap, Stopwatch, untimed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from understudy.runtime.decision import Thresholds
    from understudy.types import Result

__all__ = ["predict"]


def predict(
    model: ModelArgument,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Pictures, or folders of pictures.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=parse_folder, help="Folder for the results; they are printed by default."
        ),
    ] = None,
    format_: Annotated[TableFormat, typer.Option("--format", help="Format of the results.")] = "jsonl",
    heatmaps: Annotated[
        bool,
        typer.Option("--heatmaps", help="Also write a heat map of each picture; needs --out."),
    ] = False,
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Also write a defect mask of each picture; needs --out."),
    ] = False,
    category: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Product that all pictures show; recognised for each picture by default."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of pictures or tiles scored at once.")
    ] = 8,
    device: DeviceOption = "auto",
    profile: Annotated[bool, typer.Option("--profile", help="Print on stderr where the time goes.")] = False,
) -> None:
    """Score pictures; one that cannot be read is reported, does not stop the rest, and sets exit code 1."""
    watch = Stopwatch() if profile else None
    lap: Lap = watch.lap if watch else untimed
    with lap("import", 0):
        from understudy.cli.opening import open_inspector
        from understudy.files import prepare_folder
        from understudy.runtime.manifest import holds_graph

        if not holds_graph(model):
            import understudy.model  # noqa: F401  # the slowest import

    asked = {"--heatmaps": heatmaps, "--masks": masks, "--format parquet": format_ == "parquet"}
    if out is None and (files := [name for name, wanted in asked.items() if wanted]):
        raise InputError(f"{files[0]} needs a folder: add --out DIR")
    if out and any(path.resolve() in (out.resolve(), *out.resolve().parents) for path in paths):
        raise InputError(
            f"{out} lies among the pictures, and would be scored next time; choose another --out"
        )
    with lap("load", 0):
        inspector = open_inspector(model, device, watch)
    if (heatmaps or masks) and inspector.thresholds is None:
        what = "--heatmaps colours" if heatmaps else "--masks marks"
        raise InputError(f"{what} by thresholds, and {model} has none; calibrate it first")
    results = inspector.predict(paths, category=category, batch_size=batch_size, lap=lap)
    if out:
        prepare_folder(out)
    broken = done = 0
    with table_writer(format_, out / f"predictions.{format_}" if out else None) as write:
        for result in results:
            row: ResultRow = dict.fromkeys(COLUMNS) | {"path": str(result.path)}
            if result.error is not None:
                broken += 1
                typer.echo(f"understudy: {result.error}", err=True)
                with lap("write", 1):
                    write(row | {"error": result.error})
                continue
            done += 1
            row |= {
                "score": result.score,
                "verdict": result.verdict,
                "category": result.category,
                "reason": result.reason,
                "regions": [region._asdict() for region in result.regions] if result.verdict else None,
            }
            if out:
                name = f"{done:05d}-{result.path.stem}.png"
                if heatmaps and inspector.thresholds:
                    with lap("heat map", 1):
                        row["heatmap"] = _write_heatmap(out / "heatmaps" / name, result, inspector.thresholds)
                if masks:
                    with lap("mask", 1):
                        row["mask"] = _write_mask(out / "masks" / name, result, inspector.defect_mask(result))
            with lap("write", 1):
                write(row)
    print(f"{done} pictures scored, {broken} unreadable", file=sys.stderr)
    if watch:
        print(*watch.report(), sep="\n", file=sys.stderr)
    if broken:
        raise typer.Exit(1)


def _write_heatmap(path: Path, result: Result, thresholds: Thresholds) -> str:
    """Write the picture with its map in colour, and return the path."""
    from PIL import Image

    from understudy.runtime.heatmap import colour_span, heatmap
    from understudy.runtime.images import read_picture

    span = colour_span(thresholds, [result.score])
    return _write(path, Image.fromarray(heatmap(read_picture(result.path), result.anomaly_map, *span)))


def _write_mask(path: Path, result: Result, mask: NDArray[np.bool_]) -> str:
    """Write the mask at the size of the picture, white on defects and black elsewhere; return the path."""
    from PIL import Image

    height, width = result.size
    return _write(path, Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _write(path: Path, image: Image.Image) -> str:
    from understudy.files import writing

    with writing(path):
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    return str(path)
