"""A query finds what its text says, page by page, by an index where one helps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from understudy.station.archive import Store
from understudy.station.inspection import InspectionRecord, Review
from understudy.station.queries import Query

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Make = Callable[..., InspectionRecord]


def _names(store: Store, **asked: object) -> list[str]:
    return [row.inspection.name for row in store.search(Query(**asked)).rows]  # type: ignore[arg-type]


def test_each_condition_restricts_alone_and_together(store: Store, inspection: Make) -> None:
    records = store.add(
        [
            inspection(name="a", verdict="FAIL", job="7", time=NOON),
            inspection(name="b", verdict="PASS", product="nut", time=NOON + timedelta(hours=1)),
            inspection(name="c", verdict=None, station="line 4", time=NOON + timedelta(hours=2)),
            inspection(name="d", verdict="REVIEW", product=None, time=NOON + timedelta(hours=3)),
        ]
    )
    store.add_review(Review(inspection=records[0].id, time=NOON, who="Ada", answer="good"))
    assert _names(store) == ["d", "c", "b", "a"]
    assert _names(store, verdicts=("FAIL", "PASS")) == ["b", "a"]
    assert _names(store, verdicts=("NONE",)) == ["c"]
    assert _names(store, verdicts=("NONE", "FAIL")) == ["c", "a"]
    assert _names(store, product="nut") == ["b"]
    assert _names(store, station="line 4") == ["c"]
    assert _names(store, job="7") == ["a"]
    assert _names(store, since=NOON + timedelta(hours=1), until=NOON + timedelta(hours=3)) == ["c", "b"]
    assert _names(store, answered=True) == ["a"]
    assert _names(store, answered=False) == ["d", "c", "b"]
    assert _names(store, answered=False, verdicts=("FAIL",)) == []


@pytest.mark.parametrize("field", ["name", "client_id", "job", "reason"])
def test_text_is_found_in_any_case_and_form_of_letters(store: Store, inspection: Make, field: str) -> None:
    store.add([inspection(**{field: "Straße e\u0301 7"}), inspection()])
    for asked in ("straSSE", "É 7", "e \u00e9"):
        found = store.search(Query(text=asked)).rows
        assert [getattr(row.inspection, field) for row in found] == ["Straße e\u0301 7"]


def test_text_finds_part_of_an_id(store: Store, inspection: Make) -> None:
    record = store.add([inspection(), inspection()])[0]
    assert [row.inspection for row in store.search(Query(text=record.id[4:28])).rows] == [record]


@pytest.mark.parametrize("sign", ["%", "_", "\\", "'", '"', "100%_", "'; DROP TABLE inspections; --", "*?["])
def test_signs_in_a_text_mean_themselves(store: Store, inspection: Make, sign: str) -> None:
    store.add([inspection(name=f"with {sign} in it"), inspection(name="without")])
    assert _names(store, text=sign) == [f"with {sign} in it"]


def test_pages_show_each_row_once_while_rows_are_added(store: Store, inspection: Make) -> None:
    records = store.add([inspection() for _ in range(7)])
    query, found = Query(), []
    while True:
        page = store.search(query, 3)
        found += [row.inspection for row in page.rows]
        store.add([inspection()])
        if page.next is None:
            break
        query = Query(before=page.next)
    assert found == records[::-1]
    assert store.search(Query(), -5).rows[0].sequence > 0


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda store: store.search(Query()), ""),
        (lambda store: store.search(Query(before=7, station="line 3")), ""),
        (lambda store: store.search(Query(verdicts=("FAIL",))), "inspections_verdict"),
        (lambda store: store.search(Query(product="bottle")), "inspections_product"),
        (lambda store: store.search(Query(job="7")), "inspections_job"),
        (lambda store: store.search(Query(answered=True)), "inspections_answered"),
        (lambda store: store.waiting("line 3", 50), "inspections_waiting"),
        (lambda store: store.count_waiting(None), "inspections_waiting"),
        (lambda store: store.removable(None, judged=True), "inspections_kept"),
        (lambda store: list(store.scores(NOON, "bottle", "line 3")), "inspections_time"),
        (lambda store: store.find_clients("line 3", ["x", "y"]), "inspections_client"),
        (lambda store: store.reviews("0" * 32), "reviews_inspection"),
    ],
)
def test_an_index_gives_the_rows_and_their_order(
    sqlite_store: Store, ask: Callable[[Store], object], index: str
) -> None:
    plan = _plan(sqlite_store, ask)
    assert index in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("station", [None, "line 3"])
def test_counts_of_the_last_hour_read_no_older_rows(sqlite_store: Store, station: str | None) -> None:
    plan = _plan(sqlite_store, lambda store: store.counts(station, NOON))
    assert "USING COVERING INDEX inspections_time (time>?" in plan


def _plan(store: Store, ask: Callable[[Store], object]) -> str:
    """Return SQLite's plan of the last statement that a question to the store runs."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", note)
    ask(store)
    event.remove(store._engine, "before_cursor_execute", note)
    statement, parameters = asked[-1]
    with store._engine.connect() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)
