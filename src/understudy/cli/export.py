"""``understudy export``: write a trained model as a graph that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import (
    DATA_KINDS,
    BadOption,
    GoodOption,
    LayoutOption,
    ModelArgument,
    SignatureOption,
    open_data,
    parse_folder,
    parse_named,
)
from understudy.errors import InputError
from understudy.progress import reporting
from understudy.types import GraphFormat, GraphPrecision

__all__ = ["export"]


def export(
    model: ModelArgument,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", parser=parse_folder, help="New or empty folder for the exported model."),
    ],
    format_: Annotated[
        GraphFormat, typer.Option("--format", help="Format of the graph: for onnxruntime or for OpenVINO.")
    ] = "onnx",
    precision: Annotated[
        GraphPrecision,
        typer.Option(
            help="Precision of the graph; bf16 (OpenVINO) and int8 are faster, less exact and need --data."
        ),
    ] = "float32",
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            parser=parse_named,
            help=f"Pictures to compare graph and model on: a {DATA_KINDS}; noise by default.",
        ),
    ] = None,
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of pictures compared at once.")
    ] = 8,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
    pyfunc: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=parse_folder,
            help="Also write the exported model as a model of MLflow, in a new or empty folder.",
        ),
    ] = None,
    require_signature: SignatureOption = None,
) -> None:
    """Write MODEL as a graph for the light runtime, and check that it gives the same results as in torch."""
    if pyfunc:
        from understudy.scale.pyfunc import require_pyfunc, write_pyfunc

        if out.absolute() in (pyfunc.absolute(), *pyfunc.absolute().parents):
            raise InputError(f"--pyfunc {pyfunc} lies in the exported model's folder; name one outside of it")
        require_pyfunc(pyfunc)
    from understudy.export import export as export_model

    with reporting(plain_lines=True) as reporter:
        export_model(
            model,
            out,
            format=format_,
            precision=precision,
            data=data and open_data(data, layout, good, bad),
            batch_size=batch_size,
            overwrite=overwrite,
            require_signature=require_signature,
            progress=reporter,
        )
    if pyfunc:
        write_pyfunc(out, pyfunc)
        print(f"{pyfunc}: for mlflow.pyfunc.load_model")
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {format_}, {precision}, {size / 1e6:.1f} MB")
