"""Inspections are stored many at a time; a database that is gone neither stops nor slows the line."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from waiting import until

from understudy.station import recorder as module
from understudy.station.archive import Store, StoreError
from understudy.station.inspection import InspectionRecord
from understudy.station.recorder import Recorder


class Fake:
    """A store that can be slow, or gone."""

    def __init__(self) -> None:
        self.entered = 0
        self.calls: list[int] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def add(self, records: Sequence[InspectionRecord]) -> list[InspectionRecord]:
        self.entered += 1
        self.gate.wait()
        self.calls.append(len(records))
        if self.error:
            raise self.error
        return list(records)


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def recorder(fake: Fake) -> Iterator[Recorder]:
    made = Recorder(fake)  # type: ignore[arg-type]
    yield made
    fake.gate.set()
    made.close()


def test_what_is_returned_is_stored(store: Store, inspection: Callable[..., InspectionRecord]) -> None:
    recorder = Recorder(store)
    records = [inspection() for _ in range(5)]
    assert recorder.add(records) == records
    assert [store.get(r.id) for r in records] == records
    recorder.close()
    assert recorder.add([inspection()]) == [None]


def test_rows_that_wait_share_a_transaction(
    fake: Fake, recorder: Recorder, inspection: Callable[..., InspectionRecord]
) -> None:
    fake.gate.clear()
    threads = [threading.Thread(target=recorder.add, args=([inspection()],)) for _ in range(20)]
    threads[0].start()
    until(lambda: fake.entered == 1)  # the first row keeps the database busy, and the others wait
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(recorder._queue) == 19)
    fake.gate.set()
    for thread in threads:
        thread.join()
    assert fake.calls == [1, 19]


@pytest.mark.parametrize("error", [StoreError("the database is gone"), RuntimeError("a bug")])
def test_a_lost_database_is_said_and_tried_again(
    fake: Fake,
    recorder: Recorder,
    inspection: Callable[..., InspectionRecord],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    monkeypatch.setattr(module, "RETRY", 1e9)
    fake.error = error
    assert recorder.add([inspection(), inspection()]) == [None, None]
    assert recorder.trouble is not None
    assert recorder.add([inspection()]) == [None]
    assert fake.calls == [2]  # while it is gone, nobody waits for it
    monkeypatch.setattr(module, "RETRY", 0.0)
    fake.error = None
    record = inspection()
    assert recorder.add([record]) == [record]
    assert recorder.trouble is None


def test_a_database_that_hangs_holds_nobody_up(
    fake: Fake,
    recorder: Recorder,
    inspection: Callable[..., InspectionRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)
    fake.gate.clear()
    assert recorder.add([inspection()]) == [None]
    assert recorder.trouble == "the database does not answer"
    fake.gate.set()
    until(lambda: not recorder.trouble)  # what was late is stored after all
    assert fake.calls == [1]
