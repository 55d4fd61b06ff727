"""The steps of the migrations make the tables that the program uses."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from understudy.station.archive import Store
from understudy.station.tables import METADATA, VERSION_TABLE


def test_the_steps_make_the_tables_of_the_program(store: Store) -> None:
    with store._engine.connect() as connection:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_partial_indices_are_those_of_the_program(store: Store) -> None:
    """Alembic does not compare their conditions."""
    dialect = store._engine.dialect.name
    wanted = {
        index.name: str(index.dialect_options[dialect]["where"])
        for index in METADATA.tables["inspections"].indexes
        if index.dialect_options[dialect]["where"] is not None
    }
    with store._engine.connect() as connection:
        found = {
            index["name"]: str(index["dialect_options"][f"{dialect}_where"])
            for index in inspect(connection).get_indexes("inspections")
            if index.get("dialect_options", {}).get(f"{dialect}_where") is not None
        }
    assert {name: where.strip("()") for name, where in found.items()} == wanted
