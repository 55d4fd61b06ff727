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
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from understudy.runtime.decision import Thresholds
    from understudy.runtime.detector import Inspector
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
    masks: Annotated[
        bool,
        typer.Option("--masks", help="Also write a mask of the defect beside each result; needs --out."),
    ] = False,
    category: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What all pictures show; each one's is recognised otherwise."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Pictures, or tiles of them, scored at once.")
    ] = 8,
    device: DeviceOption = DeviceName.AUTO,
    profile: Annotated[bool, typer.Option("--profile", help="Say on stderr where the time goes.")] = False,
) -> None:
    """Score pictures. A picture that cannot be read is reported, the rest is scored; exit code 1."""
    watch = Stopwatch() if profile else None
    lap: Lap = watch.lap if watch else untimed
    with lap("import", 0):
        from understudy.errors import PictureError
        from understudy.runtime.bundle import holds_graph, prepare_folder

        exported = holds_graph(model)
        if not exported:
            import understudy.model  # noqa: F401  # takes longer than all the rest

    form: TableFormat = format_.value
    asked = {"--heatmaps": heatmaps, "--masks": masks, "--format parquet": form == "parquet"}
    if out is None and (files := [name for name, wanted in asked.items() if wanted]):
        raise InputError(f"{files[0]} needs a folder: add --out DIR")
    if out and any(path.resolve() in (out.resolve(), *out.resolve().parents) for path in paths):
        raise InputError(
            f"{out} lies among the pictures, and would be scored next time; choose another --out"
        )
    with lap("load", 0):
        inspector = _exported(model, device) if exported else _trained(model, device, watch)
    if (heatmaps or masks) and inspector.thresholds is None:
        what = "--heatmaps colours" if heatmaps else "--masks marks"
        raise InputError(f"{what} by thresholds, and {model} has none; calibrate it first")
    results = inspector.inspect(paths, batch_size, category, lap)
    if out:
        prepare_folder(out)
    broken = done = 0
    with table_writer(form, out / f"predictions.{form}" if out else None) as write:
        for result in results:
            row: Row = dict.fromkeys(COLUMNS) | {"path": str(result.path)}
            if isinstance(result, PictureError):
                broken += 1
                typer.echo(f"understudy: {result}", err=True)
                with lap("write", 1):
                    write(row | {"error": str(result)})
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


def _exported(model: Path, device: DeviceName) -> Inspector:
    """Needs no torch."""
    from understudy.runtime.detector import Inspector

    if device is DeviceName.CUDA:
        raise InputError(f"{model} is exported and runs on the processor; leave out --device")
    return Inspector.load(model)


def _trained(model: Path, device: DeviceName, watch: Stopwatch | None) -> Inspector:
    from understudy.device import waiting_for
    from understudy.model import load

    loaded = load(model, device.value)
    if watch:
        watch.settle = waiting_for(loaded.device)
    return loaded.inspector


def _write_heatmap(path: Path, found: Prediction, thresholds: Thresholds) -> str:
    from PIL import Image

    from understudy.runtime.heatmap import colour_span, heatmap
    from understudy.runtime.images import read_picture

    span = colour_span(thresholds, [found.score])
    return _write(path, Image.fromarray(heatmap(read_picture(found.path), found.anomaly_map, *span)))


def _write_mask(path: Path, found: Prediction, mask: NDArray[np.bool_]) -> str:
    """White on the defect, black elsewhere, at the picture's own size."""
    from PIL import Image

    height, width = found.size
    return _write(path, Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _write(path: Path, image: Image.Image) -> str:
    from understudy.runtime.bundle import writing

    with writing(path):
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    return str(path)
