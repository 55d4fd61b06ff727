"""Values come back from each kind of database as they were, and ids have keys of their own."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

from sqlalchemy import insert, select

from understudy.station.archive import Store
from understudy.station.inspection import InspectionRecord
from understudy.station.tables import CHANGES, SETTINGS, client_key, inspection_row, searchable

HOUR_WEST = timezone(timedelta(hours=-1))


def test_client_keys_tell_stations_and_ids_apart() -> None:
    pairs = [("a", "bc"), ("ab", "c"), ("a", "b\0c"), ("a", "b\ufffdc"), ("a", "b\ud800c"), ("a", "b" * 9999)]
    assert len({client_key(*pair) for pair in pairs}) == len(pairs)


def test_a_time_is_kept_to_the_microsecond_whatever_its_zone(store: Store) -> None:
    times = [
        datetime(2026, 3, 4, 23, 59, 59, 123456, HOUR_WEST),
        datetime(2026, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 3, 4, 5),
    ]
    with store._engine.begin() as connection:
        for time in times:
            row = {"time": time, "station": "", "who": "", "action": "", "detail": {}}
            connection.execute(insert(CHANGES), row)
        kept = connection.execute(select(CHANGES.c.time).order_by(CHANGES.c.sequence)).scalars().all()
    assert kept == [times[0], times[1], times[1]]
    assert all(time.utcoffset() == timedelta(0) for time in kept)


def test_the_ends_of_the_calendar_are_times_too(store: Store) -> None:
    early, late = (
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=HOUR_WEST),
    )
    assert store.counts(None, early) == store.counts(None, late)


def test_content_keeps_numbers_that_json_has_no_sign_for(store: Store) -> None:
    content = {"a": [1, 2.5, None, True, "x"], "b": {"c": math.inf}, "t": datetime(2026, 1, 1)}
    store.set_value("k", content)
    kept = store.value("k")
    assert kept == {"a": [1, 2.5, None, True, "x"], "b": {"c": "inf"}, "t": "2026-01-01 00:00:00"}
    assert SETTINGS.c.value.type.cache_ok


def test_a_row_has_every_field_of_an_inspection(inspection: Callable[..., InspectionRecord]) -> None:
    row = inspection_row(inspection(verdict="REVIEW", client_id="x"))
    assert row.keys() - set(InspectionRecord.model_fields) == {"client_key", "words", "waits"}
    assert row["waits"]
    assert not inspection_row(inspection())["waits"]
    assert searchable("STRASSE") == searchable("Straße")
