"""A database is opened only if its tables are today's; older ones are upgraded when asked."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from understudy.errors import InputError
from understudy.station import database
from understudy.station.archive import Query, Store
from understudy.station.database import StoreError, open_engine
from understudy.station.inspection import InspectionRecord

Make = Callable[..., InspectionRecord]
_NEXT_STEP = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "0001"
def upgrade():
    op.add_column("reviews", sa.Column("shift", sa.Text))
"""


@pytest.fixture
def newer_program(tmp_path: Path) -> Callable[[pytest.MonkeyPatch], None]:
    """Turn the program into a later one, whose tables have one more step."""
    steps = tmp_path / "steps"
    shutil.copytree(Path(database.__file__).parent / "migrations", steps)
    (steps / "versions" / "v9999_next.py").write_text(_NEXT_STEP)
    return lambda patch: patch.setattr(database, "_STEPS", steps)


def test_an_older_schema_is_refused_with_the_way_to_upgrade(
    database_url: str, inspection: Make, newer_program: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Store.open(database_url)
    record = old.add([inspection()])[0]
    old.close()
    newer_program(monkeypatch)
    with pytest.raises(
        InputError, match="older version; stop the station, then run understudy station upgrade"
    ):
        Store.open(database_url)
    upgraded = Store.open(database_url, upgrade=True)
    assert upgraded.get(record.id) == record
    upgraded.close()
    Store.open(database_url).close()


def test_an_upgrade_of_sqlite_copies_the_file_first_and_keeps_earlier_copies(
    inspection: Make, newer_program: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'station.db'}"
    old = Store.open(url)
    record = old.add([inspection()])[0]
    (tmp_path / "station.db.before-0001").write_text("mine")
    with monkeypatch.context() as later:
        newer_program(later)
        Store.open(url, upgrade=True).close()
    old.close()
    assert (tmp_path / "station.db.before-0001").read_text() == "mine"
    copy = Store.open(f"sqlite:///{tmp_path / 'station.db.before-0001-1'}")
    assert copy.get(record.id) == record
    copy.close()


def test_a_newer_schema_is_refused(
    database_url: str, newer_program: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        newer_program(later)
        Store.open(database_url).close()
    for upgrade in (False, True):
        with pytest.raises(InputError, match="newer version of understudy"):
            Store.open(database_url, upgrade=upgrade)


def test_tables_of_another_program_are_refused_and_stay(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE settings (mine INTEGER)"))
        connection.execute(text("INSERT INTO settings VALUES (7)"))
    with pytest.raises(InputError, match="tables of another program"):
        Store.open(database_url, upgrade=True)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT mine FROM settings")).scalar() == 7
    engine.dispose()


def test_a_failing_upgrade_changes_nothing(
    database_url: str, inspection: Make, newer_program: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Store.open(database_url)
    record = old.add([inspection()])[0]
    old.close()
    with monkeypatch.context() as later:
        newer_program(later)
        step = database._STEPS / "versions" / "v9999_next.py"
        step.write_text(_NEXT_STEP + "    op.drop_table('reviews')\n    op.execute('NO SQL AT ALL')\n")
        with pytest.raises(StoreError):
            Store.open(database_url, upgrade=True)
    again = Store.open(database_url)
    assert again.get(record.id) == record
    assert again.reviews(record.id) == []
    again.close()


def test_many_processes_open_a_new_database_at_once(database_url: str) -> None:
    code = "import sys; from understudy.station.archive import Store; Store.open(sys.argv[1]).close()"
    commands = [[sys.executable, "-c", code, database_url] for _ in range(5)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [each.communicate(timeout=120)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 5, said
    store = Store.open(database_url)
    assert store.search(Query()).rows == []
    store.close()


@pytest.mark.parametrize(
    "url",
    ["", "no url", "sqlite://", "sqlite:///:memory:", "mysql://a/b", "postgresql+psycopg2://a/b", "://"],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"sqlite:///FOLDER/station\.db"):
        open_engine(url)


def test_an_unreachable_server_is_told_without_password_and_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached") as told:
        open_engine(f"postgresql://eve:secret@/x?host={tmp_path}")
    assert not any(word in str(told.value) for word in ("secret", "eve", str(tmp_path)))


def test_a_file_that_is_no_database_is_told_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "station.db"
    file.write_bytes(b"holiday pictures" * 100)
    with pytest.raises(StoreError, match="damaged"):
        open_engine(f"sqlite:///{file}")
    assert file.read_bytes() == b"holiday pictures" * 100


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="folder cannot be written"):
        open_engine(f"sqlite:///{tmp_path / 'file' / 'station.db'}")


def test_a_killed_first_opening_leaves_no_half_made_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    url = f"sqlite:///{tmp_path / 'station.db'}"
    real = database.command.upgrade

    def half(*arguments: object) -> None:
        real(*arguments)
        stops()

    with monkeypatch.context() as patch:
        patch.setattr(database.command, "upgrade", half)
        with pytest.raises(KeyboardInterrupt):
            open_engine(url)
    connection = sqlite3.connect(tmp_path / "station.db")
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()
    Store.open(url).close()
