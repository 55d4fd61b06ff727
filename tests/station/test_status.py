"""What the station says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Served, serving

from understudy.runtime.inspector import Inspector


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(exported, tmp_path / "station", keep_every=1, drift_every=1) as station:
        yield station


def test_the_state_tells_what_the_station_is(served: Served, pictures: list[Path], exported: Path) -> None:
    verdicts = [e["inspection"]["verdict"] for e in served.inspect(*pictures).json["results"]]
    state = served.call("api/state").json
    assert (state["state"], state["reasons"], state["stored"]) == ("green", [], True)
    assert {v: n for v, n in state["today"].items() if n} == {v: verdicts.count(v) for v in set(verdicts)}
    assert state["model"]["products"] == Inspector.load(exported).categories
    assert state["waiting"] == sum(v != "PASS" for v in verdicts)
    drift = served.call("api/drift").json
    assert {s["name"] for s in drift["streams"]} == {"score", "distance", "brightness", "sharpness"}
    assert sum(s["n"] for s in drift["streams"] if s["name"] == "brightness") == len(pictures)
    model = served.call("api/model").json
    assert (model["version"], model["versions"][0]["active"]) == (1, True)
    figures = served.call("metrics").body.decode()
    assert f'understudy_records_total{{stored="true"}} {len(pictures)}.0' in figures
