"""Pictures over HTTP: a form or a body in, records and sentences out."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import Served, serving

from understudy.runtime.inspector import Inspector
from understudy.station.config import CallLimits


@pytest.fixture(scope="module")
def inspector(exported: Path) -> Inspector:
    return Inspector.load(exported)


def test_verdicts_are_those_of_predict(served: Served, pictures: list[Path], inspector: Inspector) -> None:
    answer = served.inspect(*pictures)
    assert answer.status == 200
    for said, result in zip(answer.json["results"], inspector.predict(pictures), strict=True):
        record = said["inspection"]
        assert (said["stored"], said["repeated"]) == (True, False)
        assert (record["verdict"], record["product"]) == (result.verdict, result.category)
        assert record["score"] == pytest.approx(result.score, abs=1e-4)
        assert record["name"] == result.path.name
        assert (record["height"], record["width"]) == result.size
        assert len(record["regions"]) == len(result.regions)


def test_a_picture_may_be_the_body(served: Served, pictures: list[Path]) -> None:
    answer = served.call("inspect?job=7", pictures[0].read_bytes(), {"Content-Type": "image/png"})
    assert answer.json["results"][0]["inspection"]["job"] == "7"


def damaged(picture: bytes) -> list[tuple[str, bytes]]:
    deep = io.BytesIO()
    Image.fromarray(np.zeros((5000, 5000), np.uint8)).save(deep, "PNG")
    return [
        ("empty.png", b""),
        ("text.png", b"no picture"),
        ("short.png", picture[: len(picture) // 2]),
        ("flipped.png", picture[:60] + bytes([picture[60] ^ 1]) + picture[61:]),
        ("large.png", deep.getvalue()),
    ]


def test_bad_pictures_get_a_sentence_and_the_rest_is_judged(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    good = pictures[0]
    bad = damaged(good.read_bytes())
    with serving(exported, tmp_path / "s", limits=CallLimits(pixels=10**6)) as served:
        answer = served.inspect(good, *bad, good)
        assert answer.status == 200
        first, *middle, last = answer.json["results"]
        assert first["inspection"]["score"] == last["inspection"]["score"]
        for (name, _), said in zip(bad, middle, strict=True):
            assert said["name"] == name
            assert said["error"].startswith(name)
            assert str(tmp_path) not in said["error"]
        alone = served.inspect(*bad)
        assert alone.status == 422
        assert [each["error"] for each in alone.json["results"]] == [each["error"] for each in middle]
        assert len(served.call("api/inspections").json["rows"]) == 2


def test_calls_of_many_clients_are_all_answered(served: Served, pictures: list[Path]) -> None:
    done = threading.Barrier(8)

    def client(n: int) -> list[str]:
        done.wait()
        return [
            served.inspect(pictures[(n + i) % len(pictures)]).json["results"][0]["inspection"]["id"]
            for i in range(10)
        ]

    with ThreadPoolExecutor(8) as pool:
        ids = [id for own in pool.map(client, range(8)) for id in own]
    kept = [row["inspection"]["id"] for row in served.call("api/inspections?limit=500").json["rows"]]
    assert sorted(kept) == sorted(ids)
    assert len(set(ids)) == 80
