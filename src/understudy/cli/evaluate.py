"""``understudy evaluate``: score test pictures; write metrics.json and report.html."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from understudy.cli.arguments import (
    BadOption,
    CategoriesOption,
    DataArgument,
    DeviceOption,
    GoodOption,
    LayoutOption,
    ModelArgument,
    ProviderOption,
    SignatureOption,
    open_data,
    parse_folder,
    split_names,
)
from understudy.cli.opening import open_inspector
from understudy.errors import InputError
from understudy.progress import reporting

if TYPE_CHECKING:
    from understudy.evaluate.report.tables import FoundTable

__all__ = ["command_line", "evaluate", "metrics_table", "print_table", "rates_table", "show_table"]


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=parse_folder, help="Folder for the results; MODEL/evaluation by default."
        ),
    ] = None,
    categories: CategoriesOption = None,
    map_resolution: Annotated[
        Literal["model", "mask"],
        typer.Option(help="Compare maps and masks at the size of the model's map or of the mask."),
    ] = "model",
    aupro_limit: Annotated[
        float, typer.Option(metavar="RATE", help="Largest false-positive rate of the AUPRO.")
    ] = 0.3,
    thresholds: Annotated[
        Literal["auto", "category", "global"],
        typer.Option(
            help="Thresholds of each category, those for all (global), or those of a category "
            "if it has any and else those for all (auto)."
        ),
    ] = "auto",
    layout: LayoutOption = "auto",
    good: GoodOption = None,
    bad: BadOption = None,
    device: DeviceOption = "auto",
    provider: ProviderOption = "cpu",
    require_signature: SignatureOption = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes that score, each in one thread; MODEL is exported."),
    ] = None,
) -> None:
    """Score the test pictures of DATA; write metrics.json and report.html."""
    from understudy.evaluate import evaluate as evaluate_model
    from understudy.evaluate.report import write_report
    from understudy.files import write_json
    from understudy.results import results_in

    if workers and provider != "cpu":
        raise InputError(f"--workers score on the processor; leave them out, or --provider {provider}")
    inspector = open_inspector(model, device, require_signature=require_signature, provider=provider)
    folder = out or model / "evaluation"
    with results_in(folder, ["metrics.json", "report.html"]) as draft:
        with ExitStack() as stack:
            reporter = stack.enter_context(reporting(plain_lines=True))
            score = None
            if workers:
                from understudy.scale.pool import scoring_pool

                score = stack.enter_context(scoring_pool(model, workers, require_signature=require_signature))
            result = evaluate_model(
                inspector,
                open_data(data, layout, good, bad),
                categories=split_names(categories),
                map_resolution=map_resolution,
                aupro_limit=aupro_limit,
                thresholds=thresholds,
                progress=reporter,
                score=score,
            )
        write_json(draft / "metrics.json", result.metrics)
        write_report(draft / "report.html", inspector, result, command_line())
    print_table(result.metrics)
    print(f"wrote {folder / 'metrics.json'} and {folder / 'report.html'}")
    for error in result.broken:
        typer.echo(f"understudy: left out: {error}", err=True)
    if result.broken:
        raise typer.Exit(1)


def command_line() -> str:
    """Return the command that was typed, so that it can be run again."""
    return shlex.join(["understudy", *sys.argv[1:]])


def print_table(metrics: dict[str, Any]) -> None:
    """Print the metrics: first the defects found at rates of false alarms, then all others."""
    from understudy.evaluate.report.tables import found_table

    if found := found_table(metrics):
        print(_in_words(found, len(metrics["categories"])))
        show_table(rates_table(found))
        print("oracle: its limits are set by the good test pictures themselves", end="\n\n")
    else:
        why = "; ".join(dict.fromkeys(metrics["found_at_missing"].values()))
        print(f"how many defects are found at a rate of false alarms is not known: {why}", end="\n\n")
    show_table(metrics_table(metrics))


def show_table(table: Table) -> None:
    """Print a table; 120 characters wide if the output is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def rates_table(found: FoundTable) -> Table:
    """Return a table of defects found and of true false alarms at each rate, in percent."""
    table = Table("category", box=None, pad_edge=False)
    columns = [(what, rate) for what in ("found", "alarms") for rate in found.rates]
    for what, rate in (*columns, ("oracle", found.lead)):
        table.add_column(f"{what}\nat {100 * rate:g} %", justify="right")
    for row in (*found.rows, found.mean, found.all):
        shares = (*row.found, *row.false_alarms, row.oracle)
        table.add_row(Text(row.label), *map(_percent, shares), end_section=row is found.rows[-1])
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _in_words(found: FoundTable, n_categories: int) -> str:
    """Say in a sentence what is found at the rate that comes first."""
    at = found.lead_row
    if at["mean"]["found"] is None:
        return "no test picture is defective, so nothing shows how many defects are found"
    said = f"at {100 * found.lead:g} % of false alarms {_percent(at['mean']['found'])} % of defects are found"
    if n_categories == 1:
        return said
    worst, least = at["worst"]["found"]
    return f"{said}, as a mean over categories; {worst} is the worst, {_percent(least)} %"


def metrics_table(metrics: dict[str, Any]) -> Table:
    """Return a table of metrics in percent: one row per category, then mean, pooled and worst."""
    names = list(metrics["mean"])
    table = Table("category", box=None, pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    rows = {**metrics["categories"], "mean": metrics["mean"], "pooled": metrics["pooled"]}
    for label, numbers in rows.items():
        cells = (_percent(numbers[n]) for n in names)
        table.add_row(Text(label), *cells, end_section=label in list(metrics["categories"])[-1:])
    worst = (metrics["worst"][n] for n in names)
    table.add_row("worst", *(Text(w[0]) if w else "–" for w in worst))
    return table
