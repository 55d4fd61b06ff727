"""``understudy predict``: score and verdict of each picture, as JSON lines, CSV or Parquet."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from understudy.cli.arguments import (
    DeviceOption,
    ModelArgument,
    ProviderOption,
    SignatureOption,
    parse_folder,
    parse_named,
)
from understudy.cli.tables import COLUMNS, ResultRow, TableFormat, require_table, table_writer
from understudy.errors import InputError
from understudy.progress import Lap, Stopwatch, untimed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from understudy.runtime.inspector import Inspector
    from understudy.types import Result

__all__ = ["NOT_CALIBRATED", "predict"]

NOT_CALIBRATED = 3  # exit code: all is done, but rows have no verdicts
_FOLDERS = ("heatmaps", "masks")  # below --out
_LONGEST_STEM = 200  # bytes; file systems take names of 255, and a number and a suffix are added


def predict(
    model: ModelArgument,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", parser=parse_named, help="Pictures, or folders of pictures."),
    ],
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
    provider: ProviderOption = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier run in DIR.")
    ] = False,
    require_signature: SignatureOption = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print on stderr where the time goes.")] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(help="This process, or workers of Ray, which take URIs such as s3://line too."),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Workers of Ray; one per usable core by default."),
    ] = None,
) -> None:
    """Score pictures; one that cannot be read is reported, does not stop the rest, and sets exit code 1.

    The exit code is 3 if all pictures were scored by a model that is not calibrated: rows have no verdicts.
    """
    watch = Stopwatch() if profile else None
    lap: Lap = watch.lap if watch else untimed
    with lap("import", 0):
        from understudy.cli.opening import open_inspector
        from understudy.results import filling
        from understudy.runtime.manifest import holds_graph

        if not holds_graph(model):
            import understudy.methods.saved  # noqa: F401  # the slowest import

    asked = {"--heatmaps": heatmaps, "--masks": masks, "--format parquet": format_ == "parquet"}
    if out is None and (files := [name for name, wanted in asked.items() if wanted]):
        raise InputError(f"{files[0]} needs a folder: add --out DIR")
    if out and any(path.resolve() in (out.resolve(), *out.resolve().parents) for path in paths):
        raise InputError(
            f"{out} lies among the pictures, and would be scored next time; choose another --out"
        )
    if engine == "ray":
        _refuse(
            {
                **asked,
                "--format csv": format_ == "csv",
                "--profile": profile,
                "--device cuda": device == "cuda",
                f"--provider {provider}": provider != "cpu",
            }
        )
        _predict_lake(model, paths, out, workers, category, batch_size, overwrite, require_signature)
        return
    if workers:
        raise InputError("--workers are those of Ray: add --engine ray, or leave them out")
    with lap("load", 0):
        inspector = open_inspector(
            model, device, watch, require_signature=require_signature, provider=provider
        )
    if (heatmaps or masks) and inspector.thresholds is None:
        what = "--heatmaps colours" if heatmaps else "--masks marks"
        raise InputError(f"{what} by thresholds, and {model} has none; calibrate it first")
    if inspector.calibration is None:
        typer.echo(
            f"understudy: {model} is not calibrated, so rows have scores and no verdicts; calibrate it with "
            f"understudy calibrate {model} GOOD_PICTURES",
            err=True,
        )
    results = inspector.predict(paths, category=category, batch_size=batch_size, lap=lap)
    require_table(format_)
    table = f"predictions.{format_}"
    every = (*(f"predictions.{form}" for form in get_args(TableFormat)), *_FOLDERS)
    broken = done = 0
    with ExitStack() as stack:
        claim = stack.enter_context(filling(out, every, overwrite=overwrite)) if out else None
        write = stack.enter_context(table_writer(format_, claim(table) if claim else None))
        for result in results:
            row = _row(result)
            if result.error is not None:
                broken += 1
                typer.echo(f"understudy: {result.error}", err=True)
            else:
                done += 1
            if claim and result.ok:
                name = f"{done:05d}-{_short_stem(result.path)}.png"
                if heatmaps:
                    with lap("heat map", 1):
                        path = claim(f"heatmaps/{name}")
                        row["heatmap"] = _write_heatmap(path, result, inspector)
                if masks:
                    with lap("mask", 1):
                        row["mask"] = _write_mask(
                            claim(f"masks/{name}"), result, inspector.defect_mask(result)
                        )
            with lap("write", 1):
                write(row)
    print(f"{done} pictures scored, {broken} unreadable", file=sys.stderr)
    if watch:
        print(*watch.report(), sep="\n", file=sys.stderr)
    if broken:
        raise typer.Exit(1)
    if inspector.calibration is None:
        raise typer.Exit(NOT_CALIBRATED)


def _refuse(asked: Mapping[str, bool]) -> None:
    for name, wanted in asked.items():
        if wanted and name != "--format parquet":
            raise InputError(f"--engine ray writes a folder of Parquet parts; leave out {name}")


def _predict_lake(
    model: Path,
    paths: Sequence[Path],
    out: Path | None,
    workers: int | None,
    category: str | None,
    batch_size: int,
    overwrite: bool,
    require_signature: Path | None,
) -> None:
    """Judge pictures by workers of Ray; see :func:`understudy.scale.lake.predict_lake`."""
    from understudy.scale.lake import predict_lake

    if out is None:
        raise InputError("--engine ray needs a folder for its parts: add --out DIR")
    done = predict_lake(
        model,
        paths,
        out,
        workers=workers,
        category=category,
        batch_size=batch_size,
        overwrite=overwrite,
        require_signature=require_signature,
    )
    print(f"{done.rows - done.errors} pictures scored, {done.errors} unreadable", file=sys.stderr)
    if done.errors or done.unreached:
        raise typer.Exit(1)
    if not done.calibrated:
        typer.echo(f"understudy: {model} is not calibrated, so rows have scores and no verdicts", err=True)
        raise typer.Exit(NOT_CALIBRATED)


def _row(result: Result) -> ResultRow:
    """Return the row of a result, without its heat map and mask."""
    from understudy.scale.batch import result_row

    return dict.fromkeys(COLUMNS) | result_row(result)


def _short_stem(picture: Path) -> str:
    """Return a picture's name without suffix as part of another file's name: short, and without odd bytes."""
    stem = picture.stem.encode("utf-8", "replace").replace(b"?", b"_")
    return stem[:_LONGEST_STEM].decode("utf-8", "ignore")


def _write_heatmap(path: Path, result: Result, inspector: Inspector) -> str:
    """Write the picture with its map in colour, and return the path."""
    from PIL import Image

    from understudy.runtime.heatmap import heatmap
    from understudy.runtime.images import read_picture

    span = inspector.colour_span(result.category, [float(result.anomaly_map.max())])
    picture = read_picture(result.path, inspector.manifest.preprocess.depth)
    return _write(path, Image.fromarray(heatmap(picture, result.anomaly_map, *span)))


def _write_mask(path: Path, result: Result, mask: NDArray[np.bool_]) -> str:
    """Write the mask at the size of the picture, white on defects and black elsewhere; return the path."""
    from PIL import Image

    height, width = result.size
    return _write(path, Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def _write(path: Path, image: Image.Image) -> str:
    from understudy.files import write_bytes

    png = io.BytesIO()
    image.save(png, "PNG")
    write_bytes(path, png.getvalue())
    return str(path)
