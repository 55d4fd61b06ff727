"""``understudy serve``: a station that inspects pictures over HTTP, keeps every inspection, and warns."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from understudy.cli.arguments import (
    DeviceOption,
    ProviderOption,
    SignatureOption,
    parse_folder,
    parse_named,
    split_names,
)
from understudy.errors import InputError, extra_needed
from understudy.types import DeviceChoice, ProviderChoice, Verdict

if TYPE_CHECKING:
    from understudy.runtime.inspector import Inspector
    from understudy.station.config import StationOptions

__all__ = ["serve"]

GIGABYTE = 10**9


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            parser=parse_named,
            help="Folder of the model; by default the station's last one.",
        ),
    ] = None,
    folder: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            parser=parse_folder,
            help="Folder of the station: database, pictures, tokens, models.",
        ),
    ] = Path("station"),
    station: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the station, which stands in every record.")
    ] = "station",
    demo: Annotated[
        bool,
        typer.Option("--demo", help="Train a small model on synthetic pictures, and feed it like a line."),
    ] = False,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to bind to; other machines need a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port; 0 takes a free one.")
    ] = 8080,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="UNDERSTUDY_DATABASE",
            help="Database, such as postgresql+psycopg://user@host/name; SQLite in the folder by default.",
        ),
    ] = None,
    watch: Annotated[
        Path | None,
        typer.Option(metavar="DIR", parser=parse_named, help="Folder in which a camera writes pictures."),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="UNDERSTUDY_WEBHOOK", help="Post every result there, as JSON."),
    ] = None,
    webhook_only: Annotated[
        str | None,
        typer.Option(metavar="VERDICTS", help="Post these verdicts only, such as FAIL,REVIEW."),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar="UNDERSTUDY_MQTT", help="Publish every result there, such as mqtt://broker."
        ),
    ] = None,
    keep_every: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Keep the picture of one PASS in N; FAIL and REVIEW always."),
    ] = 20,
    keep_gigabytes: Annotated[
        float, typer.Option(metavar="GB", min=0, help="Most room for kept pictures; the oldest go first.")
    ] = 20.0,
    drift_every: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Watch one picture in N of a product for drift."),
    ] = 10,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Most pictures scored at once.")
    ] = 8,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads of the runtime; one per core by default.")
    ] = None,
    device: DeviceOption = "auto",
    provider: ProviderOption = "cpu",
    require_signature: SignatureOption = None,
) -> None:
    """Inspect pictures over HTTP, keep every inspection, let people review, and warn of drift.

    The page is at http://127.0.0.1:8080. Beyond this machine, make a token first: understudy station token.
    """
    from understudy.runtime.sources import usable_cores

    try:
        from understudy.station.server import running
        from understudy.station.telemetry import json_lines
    except ImportError as error:
        raise extra_needed("station", "understudy serve") from error
    posted = split_names(webhook_only, "--webhook-only") or ()
    if unknown := set(posted) - set(get_args(Verdict)):
        raise InputError(f"--webhook-only takes PASS, REVIEW and FAIL, got {min(unknown)!r}")
    with ExitStack() as stack:
        if demo:
            from understudy.cli.demo_line import Line, demo_model

            folder = folder if folder != Path("station") else Path("demo-station")
            model = model or demo_model(folder)
        options = _options(
            folder=folder,
            station=station,
            host=host,
            port=port,
            database=database,
            watch=watch,
            webhook=webhook,
            webhook_only=posted,
            mqtt=mqtt,
            keep_every=keep_every,
            keep_bytes=round(keep_gigabytes * GIGABYTE),
            drift_every=1 if demo else drift_every,
            batch_size=batch_size,
            threads=threads,
            lanes=(threads or usable_cores()) if provider == "cpu" else 1,
        )
        json_lines(logging.getLogger("understudy"))
        opener = partial(
            _open, device=device, usual=threads, require_signature=require_signature, provider=provider
        )
        run = stack.enter_context(running(options, opener, model))
        if demo:
            stack.enter_context(Line(folder, run.station))
        typer.echo(f"the station is ready: {run.url}   Ctrl-C stops it")
        run.run()
    typer.echo("the station has stopped; everything that it answered is kept")


def _options(**given: object) -> StationOptions:
    from pydantic import ValidationError

    from understudy.runtime.manifest import first_fault
    from understudy.station.config import StationOptions

    try:
        return StationOptions.model_validate(given)
    except ValidationError as error:
        raise InputError(f"--{first_fault(error).replace('_', '-', 1)}") from error


def _open(
    folder: Path,
    threads: int | None = None,
    *,
    device: DeviceChoice,
    usual: int | None,
    require_signature: Path | None,
    provider: ProviderChoice,
) -> Inspector:
    from understudy.cli.opening import open_inspector

    return open_inspector(
        folder, device, require_signature=require_signature, provider=provider, threads=threads or usual
    )
