"""The first step makes the tables that every later step builds on."""

from __future__ import annotations

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect

from understudy.station.migrations.versions import v0001_first


def test_the_first_step_makes_four_tables_in_an_empty_database(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        v0001_first.upgrade()
        assert set(inspect(connection).get_table_names()) == {"inspections", "reviews", "changes", "settings"}
    engine.dispose()
    assert v0001_first.down_revision is None
