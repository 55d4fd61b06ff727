"""Stores inspections, many in one transaction. A lost database does not stop the line."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field

from understudy.station.archive import Store, StoreError
from understudy.station.inspection import InspectionRecord

__all__ = ["Recorder"]

LONGEST_WAIT = 2.0  # seconds that an answer waits for the database
RETRY = 1.0  # seconds between attempts while the database is gone
_MOST = 1000  # rows of one transaction


@dataclass
class _Row:
    record: InspectionRecord
    stored: Future[InspectionRecord] = field(default_factory=Future)


class Recorder:
    """Writes inspections in a thread of its own; rows that wait share one transaction.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: deque[_Row] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._trouble: str | None = None
        self._tried = 0.0
        self._thread = threading.Thread(target=self._work, name="recorder")
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why inspections are not stored now; ``None`` if they are."""
        return self._trouble

    def add(self, records: list[InspectionRecord]) -> list[InspectionRecord | None]:
        """Store inspections; return each as it stands in the database, or ``None`` if it is not stored.

        A record that repeats the client's id of an earlier one is answered by the earlier one.
        """
        rows = [_Row(record) for record in records]
        with self._changed:
            is_down = self._trouble is not None and time.monotonic() - self._tried < RETRY
            if self._closed or is_down:
                return [None] * len(records)
            self._queue += rows
            self._changed.notify()
        until = time.monotonic() + LONGEST_WAIT
        return [self._result(row, until) for row in rows]

    def _result(self, row: _Row, until: float) -> InspectionRecord | None:
        try:
            return row.stored.result(max(0.0, until - time.monotonic()))
        except StoreError:
            return None
        except Late:
            self._trouble = "the database does not answer"
            self._tried = time.monotonic()
            return None

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                rows = [self._queue.popleft() for _ in range(min(_MOST, len(self._queue)))]
            if not rows:
                return
            self._write(rows)

    def _write(self, rows: list[_Row]) -> None:
        try:
            stored = self._store.add([row.record for row in rows])
        except StoreError as error:
            self._trouble, self._tried = str(error), time.monotonic()
            for row in rows:
                row.stored.set_exception(error)
        except BaseException as error:  # a caller waits for every row, whatever happens
            self._trouble, self._tried = "inspections cannot be stored", time.monotonic()
            for row in rows:
                row.stored.set_exception(StoreError(str(error)))
        else:
            self._trouble = None
            for row, record in zip(rows, stored, strict=True):
                row.stored.set_result(record)
