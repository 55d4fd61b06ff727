"""Stores inspections, many in one transaction. A lost database does not stop the line."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from understudy.station.archive import Store, StoreError
from understudy.station.inspection import InspectionRecord
from understudy.station.patience import within

__all__ = ["Recorder"]

LONGEST_WAIT = 2.0  # seconds that an answer waits for the database
RETRY = 1.0  # seconds between attempts while the database is gone
CLOSING = 10.0  # seconds
_MOST = 1000  # rows of one transaction
_HANGS = "the database does not answer"


@dataclass
class _Row:
    record: InspectionRecord
    stored: Future[InspectionRecord] = field(default_factory=Future)


class Recorder:
    """Writes inspections in a thread of its own; rows that wait share one transaction.

    While the database is gone, one caller a second tries it, and all others are answered at once.

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
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why inspections are not stored now; ``None`` if they are."""
        return self._trouble

    def add(self, records: list[InspectionRecord]) -> list[InspectionRecord | None]:
        """Store inspections; return each as it stands in the database, or ``None`` if it is not stored.

        A record that repeats the client's id of an earlier one is answered by the earlier one.
        """
        if not records:
            return []
        rows = [_Row(record) for record in records]
        with self._changed:
            if self._closed or not self._may_try():
                return [None] * len(records)
            self._queue += rows
            self._changed.notify()
        until = time.monotonic() + LONGEST_WAIT
        return [self._result(row, until) for row in rows]

    def find(self, station: str, client_ids: Sequence[str]) -> dict[str, InspectionRecord]:
        """Return the inspections with some clients' ids, by these ids; none if the database is gone."""
        if not client_ids:
            return {}
        with self._changed:
            if not self._may_try():
                return {}
        try:
            return within(LONGEST_WAIT, lambda: self._store.find_clients(station, client_ids))
        except TimeoutError:
            self._failed(_HANGS)
        except StoreError as error:
            self._failed(str(error))
        return {}

    def probe(self) -> None:
        """Look whether a lost database is back, so that an idle line need not wait for its next picture."""
        with self._changed:
            if self._trouble is None or self._queue or not self._may_try():
                return
        try:
            within(LONGEST_WAIT, lambda: self._store.set_value("probe", {}))
        except TimeoutError:
            self._failed(_HANGS)
        except StoreError as error:
            self._failed(str(error))
        else:
            self._trouble = None

    def _may_try(self) -> bool:
        """Whether to ask the database now; hold the lock. In trouble, one caller a second may."""
        now = time.monotonic()
        if self._trouble is not None and now - self._tried < RETRY:
            return False
        self._tried = now
        return True

    def _failed(self, trouble: str) -> None:
        self._trouble, self._tried = trouble, time.monotonic()

    def _result(self, row: _Row, until: float) -> InspectionRecord | None:
        try:
            return row.stored.result(max(0.0, until - time.monotonic()))
        except StoreError:
            return None
        except TimeoutError:
            with self._changed:
                if not row.stored.done():
                    self._failed(_HANGS)
            return None

    def close(self) -> None:
        """Write what waits, then stop; a database that hangs is left behind."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSING)

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
        except BaseException as error:  # a caller waits for every row, whatever happens
            known = isinstance(error, StoreError)
            with self._changed:
                self._failed(str(error) if known else "inspections cannot be stored")
                for row in rows:
                    row.stored.set_exception(error if known else StoreError(str(error)))
        else:
            with self._changed:
                self._trouble = None
                for row, record in zip(rows, stored, strict=True):
                    row.stored.set_result(record)
