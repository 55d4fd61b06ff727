"""Changes by people: thresholds belong to their model, come one after the other, and are all logged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving import Served, serving

from understudy.station.archive import Store, StoreError


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(exported, tmp_path / "s") as station:
        yield station


def limits_of(served: Served) -> dict[str, float]:
    products = served.call("api/thresholds").json["products"]
    return {each["product"]: each["fail_above"] for each in products}


def choose(served: Served, product: str, fail_above: float) -> int:
    chosen = {"product": product, "review_above": fail_above - 1, "fail_above": fail_above}
    return served.post("api/thresholds", chosen).status


def test_thresholds_belong_to_their_version(
    exported: Path, other: Path, served: Served, tmp_path: Path
) -> None:
    before = limits_of(served)
    choose(served, "nut", 60.0)
    served.post("api/model", {"folder": str(other), "force": True})
    assert limits_of(served) == before
    choose(served, "capsule", 50.0)
    assert limits_of(served) == {**before, "capsule": 50.0}
    served.post("api/model/rollback", {})
    assert limits_of(served) == {**before, "nut": 60.0}
    served.post("api/model/rollback", {})
    assert limits_of(served) == {**before, "capsule": 50.0}


def test_people_who_change_at_the_same_time_both_have_their_way(served: Served) -> None:
    products = list(limits_of(served))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda i: choose(served, products[i], 100.0 + i), range(len(products))))
    assert done == [200] * len(products)
    assert limits_of(served) == {product: 100.0 + i for i, product in enumerate(products)}
    logged = served.call("api/changes").json["changes"]
    assert {each["detail"]["product"] for each in logged} == set(products)
    assert {each["station"] for each in logged} == {"station"}


def test_lines_of_the_log_wait_for_a_lost_database(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(self: Store, change: object) -> None:
        raise StoreError("the database cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "log", gone)
        assert served.post("api/drift/reset", {"who": "Ada"}).status == 200
        assert choose(served, "nut", 9.0) == 200
    assert served.call("api/changes").json["changes"] == []
    served.station.look_after()
    assert [c["action"] for c in served.call("api/changes").json["changes"]] == ["thresholds", "drift"]
