"""The station's store: every inspection, its reviews, the audit log and the settings, in one database.

What :meth:`Store.add` returned is on disk. Rows are ordered by a sequence that only grows, not by the clock.
Several stations may share a database.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Select, func, select, text, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from understudy.errors import InputError
from understudy.station.database import (
    READS,
    SERVER,
    StoreError,
    close_engine,
    file_of,
    open_engine,
    told,
)
from understudy.station.inspection import Answer, Change, InspectionRecord, Review
from understudy.station.queries import Page, Query, Row, filtered, row_of, rows_with_reviews
from understudy.station.tables import (
    CHANGES,
    INSPECTIONS,
    REVIEWS,
    SETTINGS,
    client_key,
    inspection_of,
    inspection_row,
    review_of,
)
from understudy.types import Verdict

__all__ = ["Daily", "Page", "Query", "Row", "Store", "StoreError"]

NO_VERDICT = "NONE"
_I = INSPECTIONS.c
_MOST_ROWS = 1000  # of one answer
_STEP = 2000  # rows that are read at once while all are walked
_FEW = 500  # ids of one statement

Scored = tuple[float | None, Verdict | None, str | None, str | None, Answer | None]
_File = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Daily:
    """Count of inspections of one day with the same verdict and the same answer.

    Attributes:
        day: day in UTC.
        verdict: their verdict; ``None`` for a model that was not calibrated.
        answer: answer of their last review; ``None`` for those without one.
        count: number of inspections.
    """

    day: date
    verdict: Verdict | None
    answer: Answer | None
    count: int


class Store:
    """A database of inspections. Threads may share it.

    Every method may raise :class:`StoreError`, and then has changed nothing.

    Args:
        engine: engine of a database with today's tables; see :meth:`open`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = engine.dialect.name
        self._insert = (postgresql if self._dialect == SERVER else sqlite).insert
        self._add_new = self._insert(INSPECTIONS).on_conflict_do_nothing().returning(_I.id)
        self._path = file_of(engine.url)
        self._turn = nullcontext() if self._path is None else threading.Lock()
        self._anchor: Connection | None = None
        if self._path is not None:
            self._anchor = self._hold()
        self._file = _identity(self._path)

    @classmethod
    def open(cls, url: str, *, upgrade: bool = False) -> Store:
        """Open a database; a new one gets its tables. Any number of processes may do so at once.

        Args:
            url: ``sqlite:///FOLDER/station.db`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.
            upgrade: bring older tables to today's version; a copy of SQLite's file is made first.

        Raises:
            InputError: the URL is none of these, or the tables are older, newer or another program's.
            StoreError: the database cannot be reached or written.
        """
        engine = open_engine(url, upgrade=upgrade)
        try:
            return cls(engine)
        except BaseException:
            close_engine(engine)
            raise

    def close(self) -> None:
        """Close the connections."""
        if self._anchor is not None:
            self._anchor.close()
        close_engine(self._engine)

    def _hold(self) -> Connection:
        """Open a connection that keeps SQLite's log in its place."""
        with told():
            connection = self._engine.connect().execution_options(**READS)
            connection.execute(select(SETTINGS.c.key).limit(1)).all()
            connection.rollback()
            return connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(), self._engine.connect() as connection:
            yield connection.execution_options(**READS)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with told(), self._turn:
            with self._engine.begin() as connection:
                yield connection
            if _identity(self._path) != self._file:  # else rows would go into a file without a name
                raise StoreError("the database's file was removed or replaced; start the station again")

    def add(self, records: Sequence[InspectionRecord]) -> list[InspectionRecord]:
        """Store inspections in one transaction; when this returns, they are on disk.

        A record whose id, or whose client's id at this station, is stored already is not stored again.

        Args:
            records: inspections.

        Returns:
            The inspections, in their order; in place of one that was not stored again, the stored one.
        """
        if not records:
            return []
        rows = [inspection_row(record) for record in records]
        keys = {row["client_key"] for row in rows if row["client_key"]}
        with self._writing() as connection:
            if self._dialect == SERVER and len(keys) > 1:  # two such transactions could wait for each other
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('understudy'))"))
            new = set(connection.execute(self._add_new, rows).scalars())
            old = [row for row in rows if row["id"] not in new]
            stored = self._known(connection, old) if old else {}
        return [
            record if record.id in new else stored.get(row["id"]) or stored[row["client_key"]]
            for record, row in zip(records, rows, strict=True)
        ]

    def _known(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[str, InspectionRecord]:
        """Return the stored inspections of some ids or client's ids, by both."""
        found = {}
        for column in (_I.client_key, _I.id):
            wanted = {row[column.name] for row in rows} - {None}
            for row in connection.execute(select(INSPECTIONS).where(column.in_(wanted))).mappings():
                found[row[column.name]] = inspection_of(row)
        return found

    def find_clients(self, station: str, client_ids: Iterable[str]) -> dict[str, InspectionRecord]:
        """Return the inspections of a station with some clients' ids, by these ids."""
        asked = {client_key(station, client_id): client_id for client_id in client_ids}
        statement = select(INSPECTIONS).where(_I.client_key.in_(asked))
        with self._reading() as connection:
            rows = connection.execute(statement).mappings().all()
        return {asked[row["client_key"]]: inspection_of(row) for row in rows}

    def get(self, id: str) -> InspectionRecord | None:
        """Return the inspection of an id."""
        with self._reading() as connection:
            row = connection.execute(select(INSPECTIONS).where(_I.id == id)).mappings().first()
        return None if row is None else inspection_of(row)

    def row(self, id: str) -> Row | None:
        """Return the inspection of an id with its place and its last review."""
        found = self._rows(rows_with_reviews().where(_I.id == id))
        return found[0] if found else None

    def search(self, query: Query, limit: int = 50) -> Page:
        """Find inspections, the last stored first.

        Args:
            query: what to find.
            limit: largest number of rows, from 1 to 1000.
        """
        limit = min(max(limit, 1), _MOST_ROWS)
        statement = filtered(rows_with_reviews(), query, self._dialect)
        rows = self._rows(statement.order_by(_I.sequence.desc()).limit(limit + 1))
        return Page(rows[:limit], rows[limit - 1].sequence if len(rows) > limit else None)

    def waiting(self, station: str | None, limit: int) -> list[Row]:
        """Return inspections that wait for review, the first stored first.

        Args:
            station: station; ``None`` for all.
            limit: largest number of rows, from 1 to 1000.
        """
        statement = _at(rows_with_reviews().where(_I.waits), station).order_by(_I.sequence)
        return self._rows(statement.limit(min(max(limit, 1), _MOST_ROWS)))

    def count_waiting(self, station: str | None) -> int:
        """Return the number of inspections of a station, or of all, that wait for review."""
        with self._reading() as connection:
            statement = _at(select(func.count()).select_from(INSPECTIONS).where(_I.waits), station)
            return int(connection.execute(statement).scalar_one())

    def _rows(self, statement: Select[Any]) -> list[Row]:
        with self._reading() as connection:
            return [row_of(found) for found in connection.execute(statement).mappings()]

    def add_review(self, review: Review) -> None:
        """Store a review; earlier ones of the inspection stay.

        Raises:
            InputError: there is no such inspection.
        """
        values = review.model_dump()
        with self._writing() as connection:
            wanted = select(_I.sequence).where(_I.id == review.inspection).with_for_update()
            place = connection.execute(wanted).scalar()
            if place is None:
                raise InputError(
                    f"there is no inspection {review.inspection[:40]!r}; see the history for its id"
                )
            key = connection.execute(REVIEWS.insert(), values).inserted_primary_key
            last = {"review": key[0] if key else None, "answer": review.answer, "waits": False}
            connection.execute(update(INSPECTIONS).where(_I.sequence == place).values(last))

    def reviews(self, id: str) -> list[Review]:
        """Return all reviews of an inspection, the first one first."""
        statement = select(REVIEWS).where(REVIEWS.c.inspection == id).order_by(REVIEWS.c.sequence)
        with self._reading() as connection:
            return [review_of(row) for row in connection.execute(statement).mappings()]

    def counts(self, station: str | None, since: datetime) -> dict[str, int]:
        """Return the number of inspections by verdict; ``NONE`` for those without.

        Args:
            station: station; ``None`` for all.
            since: earliest time.
        """
        kind: Any = func.coalesce(_I.verdict, NO_VERDICT).label("kind")  # not the index of verdicts
        statement = _at(select(kind, func.count()).where(_I.time >= since), station)
        with self._reading() as connection:
            rows = connection.execute(statement.group_by(text("kind"))).all()
        counted = {row[0]: row[1] for row in rows}
        return {verdict: counted.get(verdict, 0) for verdict in ("PASS", "REVIEW", "FAIL", NO_VERDICT)}

    def daily(self, station: str | None = None, since: datetime | None = None) -> list[Daily]:
        """Return the number of inspections by day in UTC, verdict and answer, the first day first."""
        local = func.timezone("UTC", _I.time)
        day = (
            func.to_char(local, "YYYY-MM-DD") if self._dialect == SERVER else func.substr(_I.time, 1, 10)
        ).label("day")
        statement = _at(select(day, _I.verdict, _I.answer, func.count()), station)
        if since is not None:
            statement = statement.where(_I.time >= since)
        with self._reading() as connection:
            found = connection.execute(statement.group_by(text("day"), _I.verdict, _I.answer)).all()
        return sorted((Daily(date.fromisoformat(each[0]), *each[1:]) for each in found), key=lambda d: d.day)

    def log(self, change: Change) -> None:
        """Add a line to the audit log."""
        with self._writing() as connection:
            connection.execute(CHANGES.insert(), change.model_dump())

    def changes(self, limit: int = 100, station: str | None = None) -> list[Change]:
        """Return the last lines of the audit log of a station, or of all, the last one first."""
        statement = select(CHANGES).order_by(CHANGES.c.sequence.desc()).limit(min(max(limit, 1), _MOST_ROWS))
        if station is not None:
            statement = statement.where(CHANGES.c.station == station)
        with self._reading() as connection:
            rows = connection.execute(statement).mappings().all()
        return [Change(**{name: row[name] for name in Change.model_fields}) for row in rows]

    def set_value(self, key: str, value: dict[str, Any]) -> None:
        """Keep a setting, in place of an earlier one of that key."""
        statement = self._insert(SETTINGS).values(key=key, value=value)
        replaced = statement.on_conflict_do_update(
            index_elements=["key"], set_={"value": statement.excluded.value}
        )
        with self._writing() as connection:
            connection.execute(replaced)

    def value(self, key: str) -> dict[str, Any] | None:
        """Return a setting; ``None`` if there is none."""
        with self._reading() as connection:
            found = connection.execute(select(SETTINGS.c.value).where(SETTINGS.c.key == key)).scalar()
        return None if found is None else dict(found)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Return those of some ids that have an inspection."""
        wanted, found = list(ids), set[str]()
        with self._reading() as connection:
            for start in range(0, len(wanted), _FEW):
                chosen = _I.id.in_(wanted[start : start + _FEW])
                found.update(connection.execute(select(_I.id).where(chosen)).scalars())
        return found

    def forget_files(self, ids: Iterable[str]) -> None:
        """Note that the pictures and heat maps of some inspections are kept no longer."""
        wanted = list(ids)
        with self._writing() as connection:
            for start in range(0, len(wanted), _FEW):
                chosen = _I.id.in_(wanted[start : start + _FEW])
                connection.execute(update(INSPECTIONS).where(chosen).values(picture=None, heatmap=None))

    def removable(self, station: str | None, *, judged: bool, after: int = 0, limit: int = 200) -> list[Row]:
        """Return inspections with kept pictures that wait for nobody, the first stored first.

        Args:
            station: station; ``None`` for all.
            judged: those that are PASS or reviewed; else those without verdict and review.
            after: sequence above which to look.
            limit: largest number of rows.
        """
        kept = rows_with_reviews().where(_I.picture.is_not(None), _I.waits.is_(False), _I.sequence > after)
        unjudged = _I.verdict.is_(None) & _I.review.is_(None)
        statement = _at(kept.where(~unjudged if judged else unjudged), station)
        return self._rows(statement.order_by(_I.sequence).limit(limit))

    def scores(
        self, since: datetime, product: str | None = None, station: str | None = None
    ) -> Iterator[Scored]:
        """Yield (score, verdict, reason, product, answer) of inspections, in the order of their times.

        Args:
            since: earliest time.
            product: product; ``None`` for all, and for those of an unknown one.
            station: station; ``None`` for all.
        """
        columns = (_I.time, _I.sequence, _I.score, _I.verdict, _I.reason, _I.product, _I.answer)
        statement = _at(select(*columns), station)
        if product is not None:
            statement = statement.where(func.coalesce(_I.product, "") == product)  # by the index of times
        statement = statement.order_by(_I.time, _I.sequence).limit(_STEP)
        step = statement.where(_I.time >= since)
        while True:
            with self._reading() as connection:
                rows = connection.execute(step).all()
            for row in rows:
                yield tuple(row[2:])
            if len(rows) < _STEP:
                return
            last = tuple_(rows[-1].time, rows[-1].sequence, types=[_I.time.type, _I.sequence.type])
            step = statement.where(tuple_(_I.time, _I.sequence) > last)


def _at(statement: Select[Any], station: str | None) -> Select[Any]:
    """Restrict a selection to one station; ``None`` restricts nothing."""
    return statement if station is None else statement.where(_I.station == station)


def _identity(path: Path | None) -> _File | None:
    """Return what tells an SQLite file and its log from others of their names; ``None`` if one is gone."""
    if path is None:
        return None
    try:
        found = [each.stat() for each in (path, path.with_name(f"{path.name}-wal"))]
    except OSError:
        return None
    return tuple((each.st_dev, each.st_ino) for each in found)
