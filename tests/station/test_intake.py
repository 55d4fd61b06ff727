"""A repeated call is harmless: the same client id gets the same record, and no second one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import Served, serving


@pytest.fixture(scope="module")
def pictures(factory: Path) -> list[Path]:
    return sorted(factory.glob("*/test/*/*.png"))


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(exported, tmp_path / "station", keep_every=1) as station:
        yield station


def test_a_repeated_call_gets_the_same_record_and_no_second_one(served: Served, pictures: list[Path]) -> None:
    first = served.inspect(*pictures[:2], id="part 17").json["results"]
    again = served.inspect(*pictures[:2], id="part 17").json["results"]
    assert [each["inspection"] for each in first] == [each["inspection"] for each in again]
    assert [each["repeated"] for each in first + again] == [False, False, True, True]
    assert len(served.call("api/inspections").json["rows"]) == 2
    other = served.inspect(*pictures[1:3], id="part 17")
    assert other.status == 409
    assert "'part 17/0' belongs to another picture" in other.error


def test_calls_at_the_same_time_with_one_id_make_one_record(served: Served, pictures: list[Path]) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: served.inspect(pictures[0], id="x").json, range(16)))
    assert len({each["results"][0]["inspection"]["id"] for each in answers}) == 1
    assert len(served.call("api/inspections").json["rows"]) == 1
