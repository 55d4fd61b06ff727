"""``understudy demo``: the whole job on synthetic pictures, without network and preparation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import parse_folder
from understudy.cli.evaluate import command_line, print_table
from understudy.errors import InputError
from understudy.progress import reporting

__all__ = ["demo"]

HOLDOUT = 0.2
MARKER = ".understudy-demo"
FALSE_ALARM_RATE = 0.05


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=parse_folder, help="Folder for pictures, model and report.")
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed of the pictures and of the training.")
    ] = 0,
    pictures: Annotated[
        int, typer.Option(metavar="N", min=10, help="Number of good pictures of each product to learn from.")
    ] = 60,
    max_steps: Annotated[
        int, typer.Option(metavar="N", min=1, help="Length of the training in optimiser steps.")
    ] = 300,
) -> None:
    """Make pictures of four products, train one model on the good ones, and report on the others."""
    import understudy
    from understudy.evaluate.report import write_report
    from understudy.files import write_json
    from understudy.lab.factory import FactoryPlan, write_factory
    from understudy.results import results_in

    data, model_folder = out / "pictures", out / "model"
    marker = out / MARKER
    if out.is_dir() and any(out.iterdir()) and not marker.is_file():
        raise InputError(f"{out} holds something that no demo made; choose an empty folder with --out")
    with reporting(plain_lines=True) as reporter, results_in(out, ["metrics.json", "report.html"]) as draft:
        marker.touch()
        with results_in(data) as new:  # in place of those of an earlier demo
            write_factory(new, FactoryPlan(train=pictures, seed=seed), reporter.advance)
        model = understudy.fit(
            data,
            out=model_folder,
            overwrite=True,
            progress=reporter,
            seed=seed,
            max_steps=max_steps,
            holdout=HOLDOUT,
            false_alarm_rate=FALSE_ALARM_RATE,
        )
        result = model.evaluate(data, progress=reporter)
        write_json(draft / "metrics.json", result.metrics)
        write_report(draft / "report.html", model.inspector, result, command_line())
    print_table(result.metrics)
    print(f"report: {out / 'report.html'}   figures: {out / 'metrics.json'}   model: {model_folder}")
