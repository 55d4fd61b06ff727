"""``understudy station``: tokens, upgrade, export and figures of a station's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from understudy.cli.arguments import parse_folder, parse_named
from understudy.errors import InputError, extra_needed

if TYPE_CHECKING:
    from understudy.data.weeks import Share, Week
    from understudy.station.archive import Store

__all__ = ["station_app"]

station_app = typer.Typer(name="station", help="Look after the folder of a station.", no_args_is_help=True)

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", parser=parse_named, help="Folder of the station.")
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Database, if it is not the SQLite file in the folder."),
]


@station_app.command()
def token(
    folder: FolderArgument,
    name: Annotated[str, typer.Option(metavar="NAME", help="Who or what uses it.")],
    scope: Annotated[
        Literal["inspect", "review", "admin"],
        typer.Option(help="inspect: send pictures. review: also look and answer. admin: also change."),
    ] = "inspect",
) -> None:
    """Make a token and print it once; only its hash is kept."""
    from understudy.station.tokens import Tokens

    folder.mkdir(parents=True, exist_ok=True)
    typer.echo(Tokens(folder).create(name, scope))


@station_app.command()
def tokens(folder: FolderArgument) -> None:
    """List the tokens, without their secrets."""
    from understudy.station.tokens import Tokens

    for each in Tokens(folder).all():
        typer.echo(f"{each.name}\t{each.scope}\t{each.created:%Y-%m-%d}")


@station_app.command()
def revoke(
    folder: FolderArgument, name: Annotated[str, typer.Option(metavar="NAME", help="Name of the token.")]
) -> None:
    """Make a token useless, at once."""
    from understudy.station.tokens import Tokens

    Tokens(folder).revoke(name)
    typer.echo(f"revoked {name}")


@station_app.command()
def upgrade(folder: FolderArgument, database: DatabaseOption = None) -> None:
    """Bring the database to this version; an SQLite file is copied first."""
    _open(folder, database, upgrade=True).close()
    typer.echo("the database is up to date")


@station_app.command()
def export(
    folder: FolderArgument,
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=parse_folder, help="Folder for the pictures, new or empty.")
    ],
    database: DatabaseOption = None,
) -> None:
    """Write the reviewed pictures as a data set, which calibrate, evaluate and fit read."""
    from understudy.station.keeping import Keeper
    from understudy.station.reviewed import export_reviewed

    store = _open(folder, database)
    try:
        exported = export_reviewed(store, Keeper(folder, store), out)
    finally:
        store.close()
    typer.echo(
        f"{exported.good} good and {exported.defective} defective pictures in {out}, {exported.masks} with a "
        f"mask; left out: {exported.gone} no longer kept, {exported.unknown} of an unknown product, "
        f"{exported.repeated} that were inspected again"
    )


@station_app.command()
def weeks(folder: FolderArgument, database: DatabaseOption = None) -> None:
    """Print what was found, missed and wrongly failed, by week, as far as people have looked."""
    from understudy.station.reviewed import weeks as weeks_of

    store = _open(folder, database)
    try:
        for week in weeks_of(store):
            typer.echo(_line(week))
    finally:
        store.close()


def _line(week: Week) -> str:
    shares = {
        "alarms": week.alarms,
        "found": week.found,
        "false alarms": week.false_alarms,
        "missed": week.missed,
    }
    told = "; ".join(f"{name} {_share(share)}" for name, share in shares.items())
    return f"{week.week}: {week.inspected} inspected, {week.reviewed} reviewed; {told}"


def _share(share: Share) -> str:
    """Write a share with its 95 % interval, such as ``3 of 40 (2.6 to 19.9 %)``."""
    if share.low is None or share.high is None:
        return "not known"
    return f"{share.count} of {share.of} ({100 * share.low:.1f} to {100 * share.high:.1f} %)"


def _open(folder: Path, database: str | None, *, upgrade: bool = False) -> Store:
    try:
        from understudy.station.archive import Store
        from understudy.station.config import StationOptions
    except ImportError as error:
        raise extra_needed("station", "understudy station") from error
    if database is None and not (folder / "station.db").is_file():
        raise InputError(f"{folder} is no folder of a station; name the --folder that understudy serve used")
    return Store.open(StationOptions(folder=folder, database=database).database_url, upgrade=upgrade)
