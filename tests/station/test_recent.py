"""The last pictures are there for the page; memory stays within its budget."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from serving import serving

from understudy.station.recent import Recent


def judged(side: int = 4) -> Any:
    return SimpleNamespace(
        result=SimpleNamespace(anomaly_map=np.zeros((side, side), np.float32), category=None),
        loaded=SimpleNamespace(inspector=SimpleNamespace(colour_span=lambda category, peaks: (0.0, 1.0))),
    )


def test_the_oldest_goes_when_there_are_many() -> None:
    recent = Recent(most=2)
    for name in "abc":
        recent.add(name, name.encode(), judged())
    assert [name in recent for name in "abc"] == [False, True, True]
    assert recent.picture("a") is None
    assert recent.heatmap("a") is None
    assert recent.picture("c") == b"c"
    assert (recent.heatmap("c") or b"").startswith(b"\x89PNG")


def test_large_pictures_keep_within_the_budget() -> None:
    recent = Recent(most=10, budget=250)
    for name in "abcd":
        recent.add(name, bytes(60), judged(side=2))
    assert [name in recent for name in "abcd"] == [False, True, True, True]
    recent.add("huge", bytes(1000), judged())
    assert "huge" not in recent


def test_a_pass_that_is_not_kept_can_be_seen_for_a_while(
    exported: Path, factory: Path, tmp_path: Path
) -> None:
    pictures = sorted(factory.glob("*/test/good/*.png"))
    with serving(exported, tmp_path / "s", keep_every=0) as served:
        records = [each["inspection"] for each in served.inspect(*pictures).json["results"]]
        record = next(each for each in records if each["verdict"] == "PASS")
        assert record["picture"] is None
        shown = served.call(f"api/inspections/{record['id']}/picture")
        assert shown.body == pictures[records.index(record)].read_bytes()
        assert served.call(f"api/inspections/{record['id']}/heatmap").status == 200
        assert served.call("api/inspections").json["rows"][0]["recent"]
        for _ in range(4):
            served.inspect(*pictures)
        gone = served.call(f"api/inspections/{record['id']}/picture")
        assert (gone.status, gone.error) == (404, "this picture was not kept, or was removed for room")
        assert not served.call(f"api/inspections/{record['id']}").json["recent"]
