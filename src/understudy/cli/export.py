"""``understudy export``: a trained model -> a graph that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import DATA_KINDS, ModelArgument
from understudy.progress import reporting
from understudy.types import GraphFormat, GraphPrecision

__all__ = ["export"]


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the exported model.")],
    format_: Annotated[
        GraphFormat, typer.Option("--format", help="Run by onnxruntime or by OpenVINO.")
    ] = "onnx",
    precision: Annotated[
        GraphPrecision,
        typer.Option(help="bf16 (OpenVINO) and int8 are faster and less exact; they need --data."),
    ] = "float32",
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help=f"Pictures to compare on, a {DATA_KINDS}; noise by default."),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures compared at once.")] = 8,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
) -> None:
    """Write MODEL as a graph for the light runtime, and prove that it says the same as in torch."""
    from understudy.export import export as export_model

    with reporting(plain_lines=True) as reporter:
        export_model(
            model,
            out,
            format=format_,
            precision=precision,
            data=data,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=reporter,
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {format_}, {precision}, {size / 1e6:.1f} MB")
