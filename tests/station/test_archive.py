"""The store holds what it acknowledged, once, in both kinds of database."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, text

from understudy.errors import InputError
from understudy.station.archive import Daily, Query, Store, StoreError
from understudy.station.inspection import Box, Change, InspectionRecord, Mark, Review

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
KILLING = Path(__file__).with_name("killing.py")
Make = Callable[..., InspectionRecord]


def _review(record: InspectionRecord, answer: str = "good", **given: object) -> Review:
    return Review(**{"inspection": record.id, "time": NOON, "who": "Ada", "answer": answer, **given})


def test_an_inspection_comes_back_as_it_was_added(store: Store, inspection: Make) -> None:
    full = inspection(
        client_id="c/1",
        job="order 7",
        product_given="bottle",
        review_above=0.5,
        fail_above=0.75,
        false_alarm_rate=0.01,
        calibration="c" * 64,
        verdict="FAIL",
        reason="scratch",
        regions=(Box(left=1, top=2, right=3, bottom=4, area=4, peak=1.5),),
        picture="kept/2026-03-04/a.png",
        heatmap="kept/2026-03-04/a-map.png",
    )
    bare = inspection(score=None, verdict=None, product=None, name="")
    assert store.add([full, bare]) == [full, bare]
    assert [store.get(full.id), store.get(bare.id)] == [full, bare]
    assert store.find_clients("line 3", ["c/0", "c/1"]) == {"c/1": full}
    assert store.find_clients("line 4", ["c/1"]) == {}
    assert store.get("0" * 32) is None
    assert store.add([]) == []


def test_a_repeated_client_id_or_id_is_answered_by_the_stored_record(store: Store, inspection: Make) -> None:
    first = inspection(client_id="x")
    store.add([first])
    again, other = inspection(client_id="x"), inspection(client_id="y")
    assert store.add([again, other, inspection(client_id="y"), first]) == [first, other, other, first]
    elsewhere = inspection(client_id="x", station="line 4")
    assert store.add([elsewhere]) == [elsewhere]
    assert len(store.search(Query()).rows) == 3


def test_texts_that_a_database_cannot_hold_do_not_stop_the_others(store: Store, inspection: Make) -> None:
    odd = inspection(name="a\0b\ud800.png", job="j" * 9000, client_id="\0" * 5000, reason="é" * 9000)
    odd = odd.model_copy(update={"score": math.nan, "milliseconds": math.nan})
    box = Box(left=0, top=0, right=1, bottom=1, area=1, peak=math.inf)
    plain = inspection(regions=(box,))
    assert store.add([odd, plain]) == [odd, plain]
    (found,) = store.find_clients("line 3", ["\0" * 5000]).values()
    assert (found.id, found.name, found.score) == (odd.id, "a\ufffdb\ufffd.png", None)
    assert store.get(plain.id) == plain
    assert store.search(Query(job="j" * 9000)).rows[0].inspection.id == odd.id
    assert store.search(Query(text="a\0b")).rows[0].inspection.id == odd.id


def test_rows_are_ordered_by_storing_when_the_clock_jumps_back(store: Store, inspection: Make) -> None:
    times = [NOON, NOON - timedelta(days=30), NOON + timedelta(seconds=1)]
    ids = [store.add([inspection(time=time, verdict="FAIL")])[0].id for time in times]
    assert [row.inspection.id for row in store.search(Query()).rows] == ids[::-1]
    assert [row.inspection.id for row in store.waiting(None, 10)] == ids
    assert store.counts(None, NOON)["FAIL"] == 2


def test_waiting_are_review_and_fail_until_a_review(store: Store, inspection: Make) -> None:
    verdicts = ("PASS", "REVIEW", "FAIL", None, "FAIL")
    records = store.add([inspection(verdict=verdict) for verdict in verdicts])
    store.add([inspection(verdict="FAIL", station="line 4")])
    assert [row.inspection for row in store.waiting("line 3", 2)] == records[1:3]
    assert (store.count_waiting("line 3"), store.count_waiting(None)) == (3, 4)
    store.add_review(_review(records[1]))
    assert [row.inspection for row in store.waiting("line 3", 9)] == [records[2], records[4]]
    assert (store.count_waiting("line 3"), store.count_waiting(None)) == (2, 3)


def test_a_later_review_counts_and_the_earlier_one_stays(store: Store, inspection: Make) -> None:
    record = store.add([inspection(verdict="FAIL")])[0]
    marks = (Mark(left=1, top=2, right=3, bottom=4),)
    first = _review(record, "defective", marks=marks, note="a dent\0")
    second = _review(record, "good", who="Bo", time=NOON - timedelta(days=1))
    store.add_review(first)
    store.add_review(second)
    assert store.reviews(record.id) == [first.model_copy(update={"note": "a dent\ufffd"}), second]
    row = store.row(record.id)
    assert row is not None
    assert row.review == second
    assert row == store.search(Query()).rows[0]
    assert store.row("0" * 32) is None
    assert store.daily() == [Daily(NOON.date(), "FAIL", "good", 1)]


def test_a_review_of_an_unknown_inspection_is_refused(store: Store, inspection: Make) -> None:
    with pytest.raises(InputError, match="no inspection"):
        store.add_review(_review(inspection()))


def test_counts_are_by_verdict_station_and_time(store: Store, inspection: Make) -> None:
    store.add(
        [inspection(time=NOON - timedelta(hours=1)), inspection(verdict=None), inspection(verdict="FAIL")]
    )
    store.add([inspection(station="line 4")])
    assert store.counts("line 3", NOON) == {"PASS": 0, "REVIEW": 0, "FAIL": 1, "NONE": 1}
    assert store.counts(None, NOON - timedelta(days=1)) == {"PASS": 2, "REVIEW": 0, "FAIL": 1, "NONE": 1}


def test_days_are_those_of_utc(store: Store, inspection: Make) -> None:
    late = datetime.fromisoformat("2026-03-05T00:30:00+01:00")  # half past eleven in the evening before
    store.add([inspection(time=late), inspection(time=late + timedelta(hours=1), verdict=None)])
    days = [late.date() - timedelta(days=1), late.date()]
    assert store.daily() == [Daily(days[0], "PASS", None, 1), Daily(days[1], None, None, 1)]
    assert store.daily("line 4") == []
    assert store.daily(None, late + timedelta(minutes=30)) == [Daily(days[1], None, None, 1)]


def test_settings_and_the_audit_log_are_kept(store: Store) -> None:
    assert store.value("a") is None
    for value in ({"n": 1}, {"n": [2, None, "x"]}):
        store.set_value("a", value)
    assert store.value("a") == {"n": [2, None, "x"]}
    changes = [
        Change(time=NOON - timedelta(hours=n), station="a", who="Ada", action="thresholds", detail={"n": n})
        for n in (1, 2)
    ]
    for change in changes:
        store.log(change)
    assert store.changes() == changes[::-1]
    assert store.changes(1) == changes[1:]


def test_scores_come_with_answers_across_steps(
    store: Store, inspection: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.station.archive._STEP", 3)
    same = [inspection(time=NOON, score=n / 8, verdict="FAIL") for n in range(8)]
    store.add([inspection(time=NOON - timedelta(days=9)), *same, inspection(product="nut", reason="why")])
    store.add_review(_review(same[7], "defective"))
    found = list(store.scores(NOON - timedelta(days=1)))
    assert [each[0] for each in found] == [n / 8 for n in range(8)] + [0.25]
    assert found[7] == (7 / 8, "FAIL", None, "bottle", "defective")
    assert found[8] == (0.25, "PASS", "why", "nut", None)
    assert len(list(store.scores(NOON, "bottle", "line 3"))) == 8
    assert list(store.scores(NOON, "bottle", "line 4")) == []


def test_forgotten_files_leave_the_record(store: Store, inspection: Make) -> None:
    record = store.add([inspection(picture="p", heatmap="h")])[0]
    store.forget_files([record.id, "0" * 32])
    assert store.get(record.id) == record.model_copy(update={"picture": None, "heatmap": None})


def test_removable_are_kept_pictures_that_wait_for_nobody(store: Store, inspection: Make) -> None:
    verdicts = ("PASS", "FAIL", "REVIEW", None)
    records = store.add([inspection(verdict=verdict, picture="p") for verdict in verdicts])
    store.add([inspection(), inspection(station="line 4", picture="p")])
    store.add_review(_review(records[2]))
    judged = store.removable("line 3", judged=True)
    assert [row.inspection for row in judged] == [records[0], records[2]]
    assert [row.inspection for row in store.removable("line 3", judged=False)] == [records[3]]
    assert len(store.removable(None, judged=True)) == 3
    after = store.removable("line 3", judged=True, after=judged[0].sequence, limit=1)
    assert [row.inspection for row in after] == [records[2]]


def test_a_killed_process_loses_nothing_that_it_acknowledged(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, str(KILLING), database_url, "--times", "20"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout, done.stderr
    counted = json.loads(done.stdout)
    assert (counted["kills"], counted["missing"], counted["twice"]) == (20, 0, 0)
    assert counted["stored"] >= counted["acknowledged"] > 20


_ADD_ALL = """
import sys, json, random
from understudy.station.archive import Store
from understudy.station.inspection import InspectionRecord
url, seed, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
base = dict(time="2026-03-04T12:00:00Z", station="s", model="m", version=1, model_sha256="")
base |= dict(picture_sha256="", width=1, height=1, milliseconds=0)
store, order, answers = Store.open(url), list(range(n)), {}
random.Random(seed).shuffle(order)
for start in range(0, n, 5):
    ids = order[start : start + 5]
    batch = [InspectionRecord(id=f"{seed:016x}{i:016x}", client_id=f"c{i}", **base) for i in ids]
    answers |= {record.client_id: record.id for record in store.add(batch)}
store.close()
print(json.dumps(answers))
"""


def test_two_processes_that_add_the_same_client_ids_get_the_same_records(database_url: str) -> None:
    """Both open the database while it has no tables yet, and send batches in different orders."""
    commands = [[sys.executable, "-c", _ADD_ALL, database_url, str(seed), "200"] for seed in (1, 2)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    first, second = (json.loads(each.communicate(timeout=120)[0]) for each in running)
    assert first == second
    assert len(first) == len(set(first.values())) == 200
    store = Store.open(database_url)
    assert len(store.search(Query(), 1000).rows) == 200
    store.close()


def test_threads_share_a_store_and_readers_see_whole_batches(store: Store, inspection: Make) -> None:
    batches = [[inspection(verdict="FAIL", client_id=f"{n}/{i}") for i in range(4)] for n in range(40)]
    seen: list[int] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(store.count_waiting(None))
            store.search(Query(text="part-1"))

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(store.add, batches + batches))
    stop.set()
    reader.join()
    assert answers[:40] == answers[40:] == batches
    assert store.count_waiting(None) == 160
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert all(n % 4 == 0 for n in seen)


def test_reviews_at_once_are_all_kept_and_the_last_one_counts(store: Store, inspection: Make) -> None:
    record = store.add([inspection(verdict="FAIL")])[0]
    answers = [_review(record, ("good", "defective")[n % 2], note=str(n)) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.add_review, answers))
    kept = store.reviews(record.id)
    row = store.row(record.id)
    assert row is not None
    assert row.review == kept[-1]
    assert sorted(int(each.note) for each in kept) == list(range(24))


def test_a_full_database_is_told_and_loses_nothing(sqlite_store: Store, inspection: Make) -> None:
    """SQLite answers the same error when it may use no more pages as when the disk has none."""
    kept = sqlite_store.add([inspection(client_id="a")])[0]
    engine = sqlite_store._engine

    @event.listens_for(engine, "begin")
    def _full(connection: object) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    more = [inspection(reason="r" * 5000) for _ in range(20)]
    with pytest.raises(StoreError, match="disk of the database is full; make room") as told:
        sqlite_store.add(more)
    assert "/" not in str(told.value)
    event.remove(engine, "begin", _full)
    with engine.connect() as connection:
        connection.execute(text("PRAGMA max_page_count = 1000000"))
    assert sqlite_store.search(Query()).rows[0].inspection == kept
    assert sqlite_store.add(more) == more


def test_a_database_file_that_was_removed_is_told_and_taken_up_again(
    sqlite_store: Store, inspection: Make, tmp_path: Path
) -> None:
    file = tmp_path / "station.db"
    sqlite_store.add([inspection()])
    file.rename(tmp_path / "away.db")
    with pytest.raises(StoreError, match="removed or replaced"):
        sqlite_store.add([inspection()])
    (tmp_path / "away.db").rename(file)
    last = inspection()
    assert sqlite_store.add([last]) == [last]


def test_a_database_that_another_process_holds_is_told(
    sqlite_store: Store, inspection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("understudy.station.database._PATIENCE", 0.2)
    impatient = Store.open(f"sqlite:///{tmp_path / 'station.db'}")
    with sqlite_store._engine.begin(), pytest.raises(StoreError, match="held by another process"):
        impatient.add([inspection()])
    record = inspection()
    assert impatient.add([record]) == [record]
    impatient.close()


def test_a_server_that_ended_the_connections_is_found_again(postgres: str, inspection: Make) -> None:
    name = "ended"
    with psycopg.connect(f"postgresql://{postgres % 'postgres'}", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        store = Store.open(f"postgresql+psycopg://{postgres % name}")
        first = store.add([inspection()])[0]
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended'")
        assert store.get(first.id) == first
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended'")
        with pytest.raises(StoreError) as told:
            store.add([inspection()])
        assert all(word not in str(told.value) for word in ("/", "tester", "ended"))
        admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
        again = inspection()
        assert store.add([again]) == [again]
        store.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.skipif(os.name != "posix", reason="SQLite's settings are asked of a POSIX disk")
def test_sqlite_flushes_every_transaction_to_disk(sqlite_store: Store) -> None:
    with sqlite_store._engine.connect() as connection:
        full = connection.execute(text("PRAGMA synchronous")).scalar()
        log = connection.execute(text("PRAGMA journal_mode")).scalar()
    assert (full, log) == (2, "wal")
