"""The tables of the station's database; SQLite and PostgreSQL keep texts, times and numbers alike.

Inspections, reviews and changes are only added. Of an inspection these columns change later: ``picture`` and
``heatmap`` when its files are removed for room, and ``review``, ``answer`` and ``waits``, which follow from
its last review and make the tables quick to search.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeDecorator

from understudy.station.inspection import InspectionRecord, Review

__all__ = [
    "CHANGES",
    "INSPECTIONS",
    "METADATA",
    "REVIEWS",
    "SETTINGS",
    "VERSION_TABLE",
    "client_key",
    "inspection_of",
    "inspection_row",
    "review_of",
    "searchable",
]

VERSION_TABLE = "understudy_version"
_LONGEST_LABEL = 500  # characters of an indexed text; PostgreSQL's indices hold no longer ones
_UNSTORABLE = "\ufffd"  # stands for NUL and for half surrogates, which PostgreSQL cannot hold


def _storable(value: str) -> str:
    plain = value.replace("\0", _UNSTORABLE)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Words(TypeDecorator[str]):
    """A text of any length; what a database cannot hold is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _storable(value)


class _Label(TypeDecorator[str]):
    """A text that is indexed: its first 500 characters."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else _storable(value[:_LONGEST_LABEL])


class _Utc(TypeDecorator[datetime]):
    """A time in UTC, to the microsecond. A time without a zone counts as UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        try:
            aware = aware.astimezone(UTC)
        except OverflowError:  # at either end of the calendar
            aware = value.replace(tzinfo=UTC)
        return aware.replace(tzinfo=None) if dialect.name == "sqlite" else aware

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _Number(TypeDecorator[float]):
    """A number; what is none is null."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else float(value)


class _Content(TypeDecorator[Any]):
    """JSON; numbers that JSON has no sign for are texts, such as ``"nan"``."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int) else str(value)


METADATA = MetaData()
_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

INSPECTIONS = Table(
    "inspections",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False),
    Column("client_id", _Words),
    Column("client_key", String(64)),  # hash of station and client id
    Column("time", _Utc, nullable=False),
    Column("station", _Label, nullable=False),
    Column("job", _Label),
    Column("name", _Words, nullable=False),
    Column("product_given", _Words),
    Column("product", _Label),
    Column("score", _Number),
    Column("review_above", _Number),
    Column("fail_above", _Number),
    Column("false_alarm_rate", _Number),
    Column("calibration", _Words),
    Column("verdict", String(6)),
    Column("reason", _Words),
    Column("regions", _Content, nullable=False),
    Column("model", _Words, nullable=False),
    Column("version", Integer, nullable=False),
    Column("model_sha256", _Words, nullable=False),
    Column("picture_sha256", _Words, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("picture", _Words),
    Column("heatmap", _Words),
    Column("milliseconds", _Number),
    Column("words", _Words, nullable=False),  # what `text` of a query is looked for in
    Column("review", BigInteger),  # sequence of the last review
    Column("answer", String(9)),  # its answer
    Column("waits", Boolean, nullable=False),  # REVIEW or FAIL, and no review yet
    Index("inspections_id", "id", unique=True),
    Index("inspections_client", "client_key", unique=True),
    Index("inspections_time", "time", "sequence", "station", "verdict", "answer"),
    Index("inspections_verdict", "verdict", "sequence"),
    Index("inspections_product", "product", "sequence"),
    Index("inspections_job", "job", "sequence"),
    Index(
        "inspections_waiting",
        "sequence",
        "station",
        sqlite_where=text("waits = 1"),
        postgresql_where=text("waits"),
    ),
    Index(
        "inspections_answered",
        "sequence",
        sqlite_where=text("review IS NOT NULL"),
        postgresql_where=text("review IS NOT NULL"),
    ),
    Index(
        "inspections_kept",
        "sequence",
        sqlite_where=text("picture IS NOT NULL"),
        postgresql_where=text("picture IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

REVIEWS = Table(
    "reviews",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("inspection", String(32), ForeignKey("inspections.id"), nullable=False),
    Column("time", _Utc, nullable=False),
    Column("who", _Words, nullable=False),
    Column("answer", String(9), nullable=False),
    Column("marks", _Content, nullable=False),
    Column("note", _Words, nullable=False),
    Index("reviews_inspection", "inspection", "sequence"),
    sqlite_autoincrement=True,
)

CHANGES = Table(
    "changes",
    METADATA,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("time", _Utc, nullable=False),
    Column("station", _Label, nullable=False),
    Column("who", _Words, nullable=False),
    Column("action", _Words, nullable=False),
    Column("detail", _Content, nullable=False),
    sqlite_autoincrement=True,
)

SETTINGS = Table(
    "settings",
    METADATA,
    Column("key", _Label, primary_key=True),
    Column("value", _Content, nullable=False),
)


def client_key(station: str, client_id: str) -> str:
    """Return the hash of a client's id within its station; ids of any length and content have one."""
    return sha256(f"{station}\0{client_id}".encode("utf-8", "surrogatepass")).hexdigest()


def searchable(value: str) -> str:
    """Return a text as it is compared in a search: without case, and in one form of each letter."""
    return _storable(unicodedata.normalize("NFKC", value).casefold())


def inspection_row(record: InspectionRecord) -> dict[str, Any]:
    """Record -> values of its row."""
    row = {name: getattr(record, name) for name in InspectionRecord.model_fields}
    row["regions"] = [box.model_dump() for box in record.regions]
    row["client_key"] = None if record.client_id is None else client_key(record.station, record.client_id)
    named = (record.name, record.id, record.client_id, record.job, record.reason)
    row["words"] = "\n".join(searchable(each) for each in named if each)
    row["waits"] = record.verdict in ("REVIEW", "FAIL")
    return row


def inspection_of(row: Any) -> InspectionRecord:
    """Row of the table -> inspection."""
    values = {name: row[name] for name in InspectionRecord.model_fields}
    if values["milliseconds"] is None:
        values["milliseconds"] = math.nan
    return InspectionRecord(**values)


def review_of(row: Any) -> Review:
    """Row of the table -> review."""
    return Review(**{name: row[name] for name in Review.model_fields})
