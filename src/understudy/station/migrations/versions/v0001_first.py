"""The first tables: inspections, reviews, changes and settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "inspections",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("client_id", sa.Text),
        sa.Column("client_key", sa.String(64)),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("station", sa.Text, nullable=False),
        sa.Column("job", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("product_given", sa.Text),
        sa.Column("product", sa.Text),
        sa.Column("score", sa.Float(53)),
        sa.Column("review_above", sa.Float(53)),
        sa.Column("fail_above", sa.Float(53)),
        sa.Column("false_alarm_rate", sa.Float(53)),
        sa.Column("calibration", sa.Text),
        sa.Column("verdict", sa.String(6)),
        sa.Column("reason", sa.Text),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("model_sha256", sa.Text, nullable=False),
        sa.Column("picture_sha256", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("picture", sa.Text),
        sa.Column("heatmap", sa.Text),
        sa.Column("milliseconds", sa.Float(53)),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("review", sa.BigInteger),
        sa.Column("answer", sa.String(9)),
        sa.Column("waits", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("inspections_id", "inspections", ["id"], unique=True)
    op.create_index("inspections_client", "inspections", ["client_key"], unique=True)
    op.create_index("inspections_time", "inspections", ["time", "sequence", "station", "verdict", "answer"])
    for name in ("verdict", "product", "job"):
        op.create_index(f"inspections_{name}", "inspections", [name, "sequence"])
    _create_partial("waiting", ["sequence", "station"], sqlite="waits = 1", postgresql="waits")
    _create_partial("answered", ["sequence"], sqlite="review IS NOT NULL", postgresql="review IS NOT NULL")
    _create_partial("kept", ["sequence"], sqlite="picture IS NOT NULL", postgresql="picture IS NOT NULL")
    op.create_table(
        "reviews",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("inspection", sa.String(32), sa.ForeignKey("inspections.id"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("answer", sa.String(9), nullable=False),
        sa.Column("marks", sa.JSON, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("reviews_inspection", "reviews", ["inspection", "sequence"])
    op.create_table(
        "changes",
        sa.Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("station", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "settings",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
    )


def _create_partial(name: str, columns: list[str], *, sqlite: str, postgresql: str) -> None:
    op.create_index(
        f"inspections_{name}",
        "inspections",
        columns,
        sqlite_where=sa.text(sqlite),
        postgresql_where=sa.text(postgresql),
    )
