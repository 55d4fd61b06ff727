"""Results wait in bounded memory, and none is lost without being counted."""

from __future__ import annotations

import json
import threading
import time

from understudy.station.outbox import Outbox


def put(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        outbox.put({"id": str(number), "verdict": "FAIL"})


def test_messages_leave_in_the_order_in_which_they_came() -> None:
    outbox = Outbox(10)
    put(outbox, 1, 2, 3)
    taken = [outbox.take(0) for _ in range(3)]
    assert [message and message.id for message in taken] == ["1", "2", "3"]
    assert outbox.take(0) is None


def test_a_full_outbox_drops_the_oldest_and_counts_it() -> None:
    outbox = Outbox(3)
    put(outbox, 1)
    held = outbox.take(0)
    put(outbox, *range(2, 8))
    assert held is not None
    assert outbox.status() == {"sent": 0, "failed": 0, "dropped": 4, "waiting": 3}
    outbox.settle("sent")
    first = outbox.take(0)
    assert first is not None
    assert first.id == "6"


def test_only_the_wanted_verdicts_are_taken() -> None:
    outbox = Outbox(10, only=("FAIL", None))
    for verdict in ("PASS", "REVIEW", "FAIL", None):
        outbox.put({"verdict": verdict})
    assert outbox.status()["waiting"] == 2


def test_what_is_no_json_counts_as_failed_and_raises_nothing() -> None:
    outbox = Outbox(10)
    circle: dict[str, object] = {}
    circle["self"] = circle
    for record in ({"score": float("nan")}, {"score": object()}, circle):
        outbox.put(record)
    assert outbox.status()["failed"] == 3
    assert outbox.trouble is not None
    assert outbox.take(0) is None


def test_a_name_that_is_no_unicode_is_still_json() -> None:
    outbox = Outbox(10)
    outbox.put({"name": "nut\udcff.png"})
    message = outbox.take(0)
    assert message is not None
    assert "nut" in json.loads(message.body.decode("utf-8").replace("\\u", "u").replace("\\x", "x"))["name"]


def test_closing_waits_for_what_is_on_its_way_and_counts_the_rest_once() -> None:
    outbox = Outbox(10)
    put(outbox, 1, 2, 3)
    assert outbox.take(0)
    threading.Timer(0.05, outbox.settle, ["sent"]).start()
    outbox.close(0.3)
    outbox.settle("sent")  # comes too late
    outbox.close(0.3)
    put(outbox, 4)
    assert outbox.status() == {"sent": 1, "failed": 0, "dropped": 3, "waiting": 0}


def test_closing_an_empty_outbox_takes_no_time_and_ends_a_wait() -> None:
    outbox = Outbox(10)
    taking = threading.Thread(target=outbox.take)
    taking.start()
    began = time.monotonic()
    outbox.close(10)
    taking.join(5)
    assert not taking.is_alive()
    assert time.monotonic() - began < 5
