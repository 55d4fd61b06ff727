"""``understudy export``: a trained model -> a graph that runs without torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import DATA_KINDS, ModelArgument
from understudy.cli.progress import reporting

__all__ = ["export"]


class GraphFormatName(StrEnum):
    """What runs the graph: onnxruntime, or OpenVINO."""

    ONNX = "onnx"
    OPENVINO = "openvino"


class GraphPrecisionName(StrEnum):
    """What the graph is computed in."""

    FLOAT32 = "float32"
    BF16 = "bf16"
    INT8 = "int8"


def export(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(metavar="DIR", help="New or empty folder for the exported model.")],
    format_: Annotated[
        GraphFormatName, typer.Option("--format", help="Run by onnxruntime or by OpenVINO.")
    ] = GraphFormatName.ONNX,
    precision: Annotated[
        GraphPrecisionName,
        typer.Option(help="bf16 (OpenVINO) and int8 are faster and less exact; they need --data."),
    ] = GraphPrecisionName.FLOAT32,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help=f"Pictures to compare on, a {DATA_KINDS}; made ones by default."),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures compared at once.")] = 8,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
) -> None:
    """Write MODEL as a graph for the light runtime, and prove that it says the same as in torch."""
    import understudy

    with reporting() as reporter:
        understudy.export(
            model,
            out,
            format=format_.value,
            precision=precision.value,
            data=data,
            batch_size=batch_size,
            overwrite=overwrite,
            reporter=reporter,
        )
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {format_.value}, {precision.value}, {size / 1e6:.1f} MB")
