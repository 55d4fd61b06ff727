"""What tests of the station share: a database of each kind, with a PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from understudy.folders import read_sealed, write_sealed
from understudy.station.archive import Store
from understudy.station.inspection import InspectionRecord

sys.path.append(str(Path(__file__).parent))

from page_visitor import chromium, station_url, visitor  # noqa: F401 (fixtures of the page)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, which Debian keeps off the path."""
    found = [Path(path).parent for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in found if (folder / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server that listens on a socket in a folder of its own."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt-get install postgresql)")
    as_other = []
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short
    if os.getuid() == 0:  # initdb refuses root
        as_other = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*as_other, str(programs / program), "-D", str(folder / "data"), *arguments],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr

    run("initdb", "-U", "tester", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    options = f"-c listen_addresses='' -k {folder} -c fsync=off -c max_connections=60"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"tester@/%s?host={folder}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'station.db'}"
        return
    server = request.getfixturevalue("postgres")
    name = f"station_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"postgresql://{server % 'postgres'}", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield f"postgresql+psycopg://{server % name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store, on each kind of database."""
    opened = Store.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """An empty store on SQLite."""
    opened = Store.open(f"sqlite:///{tmp_path / 'station.db'}")
    yield opened
    opened.close()


@pytest.fixture
def inspection() -> Callable[..., InspectionRecord]:
    """Make an inspection with an id of its own, a minute after the last one."""
    made = 0

    def make(**given: Any) -> InspectionRecord:
        nonlocal made
        made += 1
        usual = {
            "id": uuid.uuid4().hex,
            "time": NOON + timedelta(minutes=made),
            "station": "line 3",
            "name": f"part-{made}.png",
            "product": "bottle",
            "score": 0.25,
            "verdict": "PASS",
            "model": "bottles",
            "version": 1,
            "model_sha256": "a" * 64,
            "picture_sha256": uuid.uuid4().hex * 2,
            "width": 40,
            "height": 30,
            "milliseconds": 12.5,
        }
        return InspectionRecord(**{**usual, **given})

    return make


@pytest.fixture
def other(exported: Path, tmp_path: Path) -> Path:
    """The same model with another manifest, so that it is another version."""
    folder = shutil.copytree(exported, tmp_path / "retrained")
    content = read_sealed(folder / "manifest.json")
    assert content is not None
    content["training"]["seconds"] += 1
    write_sealed(folder / "manifest.json", content)
    return folder


@pytest.fixture(scope="session")
def pictures(factory: Path) -> list[Path]:
    """Test pictures of all products."""
    return sorted(factory.glob("*/test/*/*.png"))


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[Any]:
    """A station that keeps every picture, and a client of it."""
    from serving import serving  # its folder is on the path by now

    with serving(exported, tmp_path / "station", keep_every=1) as station:
        yield station
