"""A bounded queue of results on their way to another system; it never makes an inspection wait."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Collection, Mapping
from typing import Literal, NamedTuple

__all__ = ["Message", "Outbox", "OutboxSink"]


class Message(NamedTuple):
    """A result, ready to be sent.

    Attributes:
        id: id of the result; empty if the record has none.
        body: the record as JSON, in UTF-8.
    """

    id: str
    body: bytes


class Outbox:
    """Messages that wait for another system. If it is full, the oldest message is dropped and counted.

    One thread sends: it takes messages and settles each of them. Other threads put records.

    Args:
        limit: number of messages that are held at most, those on their way included; at least 1.
        only: verdicts whose records are sent; empty stands for all.

    Attributes:
        trouble: why messages cannot be delivered, as a sentence; ``None`` while they can.
        ending: set once no more records are taken; what waits is still sent.
        closed: set once nothing more is to be sent.
    """

    def __init__(self, limit: int, only: Collection[str | None] = ()) -> None:
        self.trouble: str | None = None
        self.ending, self.closed = threading.Event(), threading.Event()
        self._limit, self._only = max(limit, 1), only
        self._waiting: deque[Message] = deque()
        self._held = 0
        self._counts = {"sent": 0, "failed": 0, "dropped": 0}
        self._changed = threading.Condition()

    def put(self, record: Mapping[str, object]) -> None:
        """Take a record over; return at once. A record that is no JSON counts as failed."""
        if self._only and record.get("verdict") not in self._only:
            return
        try:
            body = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace")
        except (TypeError, ValueError, RecursionError):
            self.trouble = "a result could not be written as JSON and was not sent"
            with self._changed:
                self._counts["failed"] += 1
            return
        with self._changed:
            if self.ending.is_set():
                self._counts["dropped"] += 1
                return
            self._waiting.append(Message(str(record.get("id") or ""), body))
            while len(self._waiting) + self._held > self._limit:
                self._waiting.popleft()
                self._counts["dropped"] += 1
            self._changed.notify_all()

    def take(self, seconds: float | None = None) -> Message | None:
        """Return the oldest message; it is held until it is settled.

        Args:
            seconds: time to wait for one; ``None`` waits until there is one or the outbox is closed.

        Returns:
            the message; ``None`` if there was none in time or the outbox is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed.is_set(), seconds)
            if self.closed.is_set() or not self._waiting:
                return None
            self._held += 1
            return self._waiting.popleft()

    def settle(self, outcome: Literal["sent", "failed"], trouble: str | None = None) -> None:
        """Count a held message as sent or as given up.

        Args:
            outcome: what became of it.
            trouble: why it failed, as a sentence.
        """
        with self._changed:
            if self.closed.is_set():
                return
            self._held -= 1
            self._counts[outcome] += 1
            self.trouble = trouble
            self._changed.notify_all()

    def status(self) -> dict[str, int]:
        """Return the numbers of messages sent, failed, dropped and waiting, those on their way included."""
        with self._changed:
            return {**self._counts, "waiting": len(self._waiting) + self._held}

    def close(self, seconds: float) -> None:
        """Take no more records, and wait until all are sent; drop what is left.

        Args:
            seconds: time to wait at most.
        """
        with self._changed:
            self.ending.set()
            self._changed.wait_for(lambda: not self._waiting and not self._held, seconds)
            if not self.closed.is_set():
                self._counts["dropped"] += len(self._waiting) + self._held
                self._waiting.clear()
                self._held = 0
                self.closed.set()
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait before another try; shortly if the outbox is about to close, not at all if it is closed."""
        if self.ending.wait(seconds):
            self.closed.wait(min(seconds, 0.2))


class OutboxSink:
    """Passes records on by an outbox, which a thread of the subclass empties.

    Args:
        outbox: records on their way.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def trouble(self) -> str | None:
        """Why records cannot be passed on, as a sentence; ``None`` while they can."""
        return self._outbox.trouble

    def post(self, record: Mapping[str, object]) -> None:
        """Pass a record on soon; return at once."""
        self._outbox.put(record)

    def status(self) -> dict[str, int]:
        """Return the numbers of records sent, failed, dropped and waiting."""
        return self._outbox.status()
