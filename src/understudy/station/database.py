"""Opening the station's database: SQLite or PostgreSQL, its tables made or upgraded, and its errors in words.

SQLite keeps a write-ahead log and flushes it to disk with every transaction, so what was committed survives
the end of the process and of the power.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.engine import URL, make_url

from understudy.errors import InputError, WorkError, extra_needed
from understudy.files import PART
from understudy.station.tables import METADATA, VERSION_TABLE

__all__ = ["READS", "SERVER", "StoreError", "close_engine", "file_of", "open_engine", "told"]

SERVER = "postgresql"
READS = {"understudy_reads": True}
"""Options of a connection that only reads; SQLite then needs no turn to write."""

_STEPS = Path(__file__).parent / "migrations"
_OPENING = 0x756E6465  # PostgreSQL's advisory lock of whoever opens or upgrades
_PATIENCE = 10  # seconds that a transaction waits for others
_LONGEST_OPENING = 120.0  # seconds to wait for another process that makes or upgrades the tables

_FULL = "the disk of the database is full; make room there"
_BUSY = "the database is held by another process for too long; end that one, or try again"
_READ_ONLY = "the database is read-only; give the station the right to write it"
_DAMAGED = "the database is damaged; put a backup in its place"
_GONE = "the database cannot be reached; see that it runs, and that address, name and password are right"
_REASONS = {
    "SQLITE_FULL": _FULL,
    "SQLITE_BUSY": _BUSY,
    "SQLITE_LOCKED": _BUSY,
    "SQLITE_READONLY": _READ_ONLY,
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
    "SQLITE_CANTOPEN": "the database's file cannot be opened; see that its folder can be written",
    "SQLITE_IOERR": "the disk of the database fails; see to it",
    "53100": _FULL,
    "55P03": _BUSY,
    "57014": _BUSY,
    "40P01": _BUSY,
    "25006": _READ_ONLY,
    "42501": "the database refuses this user; grant it the rights to make and write tables",
    "3D000": "there is no such database on the server; create it first",
}


class StoreError(WorkError):
    """The database cannot do its work: it is gone, full, held by others; the sentence names no place."""


@contextmanager
def told() -> Iterator[None]:
    """Turn an error of the database in the block into a :class:`StoreError`."""
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(_sentence(error)) from error


def _sentence(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or ""
    known = next((words for begin, words in _REASONS.items() if code.startswith(begin)), None)
    if known:
        return known
    unreachable = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
    if unreachable or getattr(error, "connection_invalidated", False):
        return _GONE
    return f"the database refused the work ({type(cause).__name__}{code and ' '}{code})"


def open_engine(url: str, *, upgrade: bool = False) -> Engine:
    """Connect to a database whose tables are of today's version; make them in an empty one.

    Args:
        url: ``sqlite:///FOLDER/station.db`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.
        upgrade: bring older tables to today's version; a copy of SQLite's file is made first.

    Raises:
        InputError: the URL is none of these, or the tables are older, newer or another program's.
        StoreError: the database cannot be reached or written.
    """
    place = _place(url)
    file = file_of(place)
    with told():
        engine = _sqlite_engine(place) if file else _server_engine(place)
    try:
        with told(), _alone(file):
            if file:
                _use_log(file)
            _make_current(engine, place, upgrade)
    except BaseException:
        engine.dispose()
        raise
    return engine


def close_engine(engine: Engine) -> None:
    """Close all connections."""
    with suppress(exc.SQLAlchemyError, sqlite3.Error):
        engine.dispose()


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database; ``None`` for a server."""
    return Path(url.database).absolute() if url.get_backend_name() == "sqlite" and url.database else None


def _place(url: str) -> URL:
    wanted = "sqlite:///FOLDER/station.db or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    try:
        place = make_url(url)
        backend = place.get_backend_name()
    except (exc.ArgumentError, ValueError) as error:
        raise InputError(f"the database's URL is not one; it is {wanted}") from error
    if backend == "sqlite":
        if place.database in (None, "", ":memory:") or str(place.database).startswith("file:"):
            raise InputError(f"the database needs a file, to outlive the station; its URL is {wanted}")
        return place.set(drivername="sqlite")
    if backend in (SERVER, "postgres") and place.drivername in (SERVER, "postgres", f"{SERVER}+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise extra_needed("postgresql", "a database on PostgreSQL")
        return place.set(drivername=f"{SERVER}+psycopg")
    raise InputError(f"the database is SQLite or PostgreSQL by psycopg: {wanted}")


def _sqlite_engine(place: URL) -> Engine:
    engine = create_engine(
        place,
        connect_args={"timeout": _PATIENCE},
        hide_parameters=True,
        pool_size=8,
        pool_timeout=_PATIENCE,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin where the station says
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "cache_size = -16000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begins(connection: Connection) -> None:
        reads = connection.get_execution_options().get("understudy_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _server_engine(place: URL) -> Engine:
    defaults = {
        "connect_timeout": "5",
        "tcp_user_timeout": "10000",
        "application_name": "understudy",
        "client_encoding": "utf8",
    }
    engine = create_engine(
        place,
        connect_args={name: value for name, value in defaults.items() if name not in place.query},
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=8,
        pool_timeout=_PATIENCE,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.execute(f"SET lock_timeout = '{_PATIENCE}s'")
        connection.execute("SET timezone = 'UTC'")
        if connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
            connection.execute("SET synchronous_commit = on")  # else the server may forget what it took
        connection.commit()

    return engine


@contextmanager
def _alone(file: Path | None) -> Iterator[None]:
    """Keep others from opening an SQLite file during the block."""
    if file is None:
        yield
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file.with_name(f"{file.name}.lock"), timeout=_LONGEST_OPENING, mode=0o666)
        lock.acquire()
    except Timeout as error:
        raise StoreError(_BUSY) from error
    except OSError as error:
        raise StoreError(f"the database's folder cannot be written: {error.strerror or error}") from error
    except NotImplementedError:  # a disk without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _use_log(file: Path) -> None:
    connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _make_current(engine: Engine, place: URL, upgrade: bool) -> None:
    """Bring the tables to today's version, in one transaction."""
    steps = _config()
    script = ScriptDirectory.from_config(steps)
    head = script.get_current_head()
    with engine.begin() as connection:
        if engine.dialect.name == SERVER:
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING})
        options = {"version_table": VERSION_TABLE}
        found = MigrationContext.configure(connection, opts=options).get_current_revision()
        if found == head:
            return
        if found is None:
            _refuse_foreign(connection, place)
        elif found not in {each.revision for each in script.walk_revisions()}:
            raise InputError(
                f"{_shown(place)} was written by a newer version of understudy; install that one, or "
                "choose another database"
            )
        elif not upgrade:
            file = file_of(place)
            raise InputError(
                f"{_shown(place)} has the tables of an older version; stop the station, then run "
                f"understudy station upgrade {file.parent if file else 'FOLDER'}"
            )
        elif file := file_of(place):
            _copy(file, found)
        steps.attributes["connection"] = connection
        command.upgrade(steps, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_foreign(connection: Connection, place: URL) -> None:
    found = set(inspect(connection).get_table_names())
    in_the_way = found if file_of(place) else found & set(METADATA.tables)
    if in_the_way:
        raise InputError(
            f"{_shown(place)} holds tables of another program, such as {min(in_the_way)}; "
            "name an empty database"
        )


def _copy(file: Path, revision: str) -> None:
    """Copy an SQLite database beside itself, whole or not at all; an earlier copy stays."""
    names = (f"{file.name}.before-{revision}{f'-{n}' if n else ''}" for n in range(1000))
    target = next(path for path in map(file.with_name, names) if not path.exists())
    part = file.with_name(f"{PART}{target.name}")
    source, copy = sqlite3.connect(file), sqlite3.connect(part)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        copy.close()
        source.close()
    part.rename(target)


def _shown(place: URL) -> str:
    """Name a database without its password."""
    return str(file_of(place) or f"the database {place.database!r}")
