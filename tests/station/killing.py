"""Kill a process that stores inspections, many times, and see that it lost nothing that it acknowledged.

    python tests/station/killing.py URL --times 200

In each round a child adds inspections in three threads and says each id when ``add`` has returned. It is
killed by signal 9 at a moment of chance. Like a client without an answer, the next child sends the last one
of each thread again, and goes on. Prints what was counted as JSON; exits with 1 if a record is missing or
there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from understudy.station.archive import Query, Store
from understudy.station.inspection import InspectionRecord

THREADS = 3
_STATION = "killed"


def kill_while_adding(url: str, times: int = 200, seed: int = 0) -> dict[str, Any]:
    """Kill a child that adds to a database some times; count what is missing and what is twice.

    The process must have one thread, because it forks.
    """
    chance = random.Random(seed)
    Store.open(url).close()
    said: dict[str, str] = {}
    begin = [0] * THREADS
    for _ in range(times):
        for client_id, id in _round(url, begin, chance.uniform(0.005, 0.15)):
            assert said.setdefault(client_id, id) == id, f"{client_id} was answered with two records"
            thread, n = map(int, client_id.split("-"))
            begin[thread] = max(begin[thread], n)  # sent again, as if the answer had been lost
    stored = _stored(url)
    client_ids = Counter(record.client_id for record in stored)
    by_client = {record.client_id: record.id for record in stored}
    return {
        "kills": times,
        "acknowledged": len(said),
        "stored": len(stored),
        "missing": sum(by_client.get(client_id) != id for client_id, id in said.items()),
        "twice": sum(count - 1 for count in client_ids.values()),
    }


def _round(url: str, begin: list[int], seconds: float) -> list[tuple[str, str]]:
    """Let a child add for some seconds, kill it, and return what it said: pairs of client's id and id."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        _add_for_ever(url, begin, into)
    os.close(into)
    with os.fdopen(out, "rb") as heard:
        first = heard.readline()
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        lines = [first, *heard.readlines()]
    os.waitpid(child, 0)
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    assert whole, "the child stored nothing"
    return [(client_id, id) for client_id, id in whole]


def _add_for_ever(url: str, begin: list[int], into: int) -> None:
    try:
        store = Store.open(url)

        def work(thread: int) -> None:
            n = begin[thread]
            while True:
                for stored in store.add([_record(f"{thread}-{n + i}") for i in range(1 + thread)]):
                    os.write(into, f"{stored.client_id} {stored.id}\n".encode())
                n += 1 + thread

        threads = [threading.Thread(target=work, args=(each,), daemon=True) for each in range(THREADS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        os._exit(1)


def _record(client_id: str) -> InspectionRecord:
    return InspectionRecord(
        id=uuid.uuid4().hex,
        client_id=client_id,
        time=datetime.now(UTC),
        station=_STATION,
        model="none",
        version=1,
        model_sha256="",
        picture_sha256="",
        width=1,
        height=1,
        verdict="FAIL",
        milliseconds=0.0,
    )


def _stored(url: str) -> list[InspectionRecord]:
    store = Store.open(url)
    try:
        found, query = [], Query(station=_STATION)
        while True:
            page = store.search(query, 1000)
            found += [row.inspection for row in page.rows]
            if page.next is None:
                return found
            query = replace(query, before=page.next)
    finally:
        store.close()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--times", type=int, default=200)
    counted = kill_while_adding(**vars(parser.parse_args()))
    print(json.dumps(counted))
    return int(counted["missing"] > 0 or counted["twice"] > 0)


if __name__ == "__main__":
    sys.exit(main())
