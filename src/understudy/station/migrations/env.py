"""Runs the steps on the connection that :mod:`understudy.station.database` opened, in its transaction."""

from __future__ import annotations

from alembic import context

from understudy.station.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
