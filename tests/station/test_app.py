"""The station over HTTP, as a client sees it: answers, kept records, faults, and who may do what."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import Served, form_of, serving

from understudy.runtime.inspector import Inspector
from understudy.station.options import Limits
from understudy.station.tokens import Tokens


@pytest.fixture(scope="module")
def pictures(factory: Path) -> list[Path]:
    return sorted(factory.glob("*/test/*/*.png"))


@pytest.fixture(scope="module")
def inspector(exported: Path) -> Inspector:
    return Inspector.load(exported)


@pytest.fixture
def served(exported: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(exported, tmp_path / "station", keep_every=1) as station:
        yield station


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


def test_what_was_answered_is_in_the_history(served: Served, pictures: list[Path]) -> None:
    records = [each["inspection"] for each in served.inspect(*pictures[:5], job="shift 2").json["results"]]
    rows = served.call("api/inspections?job=shift%202&limit=3").json
    assert [row["inspection"] for row in rows["rows"]] == records[:1:-1]
    rest = served.call(f"api/inspections?before={rows['next']}").json
    assert [row["inspection"] for row in rest["rows"]] == records[1::-1]
    one = served.call(f"api/inspections/{records[0]['id']}").json
    assert one == {"inspection": records[0], "reviews": []}
    assert served.call("api/inspections/" + "0" * 32).status == 404


def test_kept_pictures_come_back_as_they_were(served: Served, pictures: list[Path]) -> None:
    record = served.inspect(pictures[0]).json["results"][0]["inspection"]
    picture = served.call(f"api/inspections/{record['id']}/picture")
    assert picture.body == pictures[0].read_bytes()
    assert picture.headers["Content-Type"] == "image/png"
    heatmap = Image.open(io.BytesIO(served.call(f"api/inspections/{record['id']}/heatmap").body))
    assert heatmap.mode == "RGBA"


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


JSON = {"Content-Type": "application/json"}


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
    with serving(exported, tmp_path / "s", limits=Limits(pixels=10**6)) as served:
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


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "sentence"),
    [
        ("inspect", b"x", {"Content-Type": "text/plain"}, 415, "send a form"),
        ("inspect", b"x", {"Content-Type": "multipart/form-data"}, 400, "Missing boundary"),
        (
            "inspect",
            b"x",
            {"Content-Type": "multipart/form-data; boundary=b"},
            400,
            "the form cannot be read",
        ),
        ("inspect", b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 422, "no picture"),
        (
            "inspect?product=screw",
            b"x",
            {"Content-Type": "image/png"},
            422,
            "not trained on category 'screw'",
        ),
        ("inspect?job=" + "x" * 300, b"x", {"Content-Type": "image/png"}, 422, "job"),
        ("api/inspections?limit=0", None, {}, 422, "limit"),
        ("api/inspections?since=yesterday", None, {}, 422, "since"),
        ("nothing", None, {}, 404, "there is nothing here"),
        ("inspect", None, {}, 405, "does not take that method"),
        ("api/thresholds", b"{", JSON, 422, "JSON decode error"),
        ("api/thresholds", b'{"review_above": 2, "fail_above": 1}', JSON, 422, "must not exceed"),
        ("v2/models/other", None, {}, 404, "there is no model other"),
        ("v2/models/model/infer", b"{", {}, 400, "no JSON"),
        ("v2/models/model/infer", b"{}", {"Content-Encoding": "gzip"}, 415, "compressed"),
        ("page/../app.py", None, {}, 404, "there is nothing here"),
    ],
)
def test_a_bad_call_gets_one_sentence(
    served: Served, path: str, body: bytes | None, headers: dict[str, str], status: int, sentence: str
) -> None:
    answer = served.call(path, body, headers)
    assert (answer.status, sentence in answer.error) == (status, True), answer.body
    assert "\n" not in answer.error


def test_every_answer_has_safe_headers(served: Served) -> None:
    for path in ("", "api/state", "nothing", "metrics", "v2/health/ready"):
        headers = served.call(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert "Server" not in headers


def test_limits_of_a_call(exported: Path, tmp_path: Path, pictures: list[Path]) -> None:
    data = pictures[0].read_bytes()
    limits = Limits(call_bytes=4 * len(data), picture_bytes=len(data), pictures=3)
    with serving(exported, tmp_path / "s", limits=limits) as served:
        said = served.inspect(("a.png", data), ("b.png", data + b"x")).json["results"]
        assert "inspection" in said[0]
        assert said[1]["error"].startswith(f"b.png has {len(data) + 1} bytes, and this station takes")
        many = served.inspect(*[("a.png", b"x")] * 4)
        assert (many.status, "Too many files" in many.error) == (400, True)
        body, kind = form_of([("a.png", data)] * 5, {})
        for headers in ({"Content-Type": kind}, {"Content-Type": kind, "Transfer-Encoding": "chunked"}):
            answer = served.call("inspect", body if len(headers) == 1 else [body], headers)  # type: ignore[arg-type]
            assert (answer.status, "bytes, the most of one call" in answer.error) == (413, True)


def test_a_slow_call_is_given_up(exported: Path, tmp_path: Path) -> None:
    with serving(exported, tmp_path / "s", limits=Limits(seconds=0.3)) as served:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(
                b"POST /inspect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Content-Length: 100\r\n\r\nabc"
            )
            assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_one_call_too_many_is_told_to_come_again(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    with serving(exported, tmp_path / "s", limits=Limits(calls=2)) as served:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        head = b"POST /inspect HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        try:
            for client in slow:
                client.sendall(head)
            while b"understudy_in_flight 2.0" not in served.call("metrics").body:
                pass
            answer = served.inspect(pictures[0])
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "2 calls are being answered" in answer.error
        finally:
            for client in slow:
                client.close()
        while b"understudy_in_flight 0.0" not in served.call("metrics").body:
            pass
        assert served.inspect(pictures[0]).status == 200


def test_no_other_site_reaches_a_station_without_tokens(served: Served) -> None:
    port = served.url.rpartition(":")[2]
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert served.call("api/state", headers=headers).status == 403, headers
    assert served.call("api/state", headers={"Origin": served.url.rstrip("/")}).status == 200


def test_tokens_open_what_their_scope_says(exported: Path, tmp_path: Path, pictures: list[Path]) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    secrets = {scope: Tokens(folder).create(scope, scope) for scope in ("inspect", "review", "admin")}  # type: ignore[arg-type]
    kind = {"Content-Type": "image/png"}
    with serving(exported, folder) as served:
        assert served.call("v2/health/ready").status == 200
        assert served.call("").status == 200
        calls = {
            "inspect": ("inspect", pictures[0].read_bytes(), kind),
            "review": ("api/state", None, {}),
            "admin": ("api/drift/reset", b"{}", {"Content-Type": "application/json"}),
        }
        found = {}
        for scope, secret in {**secrets, "none": "", "wrong": "x"}.items():
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            found[scope] = [
                served.call(path, body, {**more, **headers}).status for path, body, more in calls.values()
            ]
        assert found == {
            "inspect": [200, 403, 403],
            "review": [200, 200, 403],
            "admin": [200, 200, 200],
            "none": [401, 401, 401],
            "wrong": [401, 401, 401],
        }
        Tokens(folder).revoke("inspect")
        headers = {**kind, "Authorization": f"Bearer {secrets['inspect']}"}
        assert served.call("inspect", pictures[0].read_bytes(), headers).status == 401


def test_a_review_is_kept_with_who_and_when(served: Served, pictures: list[Path]) -> None:
    records = [each["inspection"] for each in served.inspect(*pictures).json["results"]]
    wait = served.call("api/waiting").json
    to_see = [each for each in records if each["verdict"] != "PASS"]
    assert [row["inspection"]["id"] for row in wait["rows"]] == [each["id"] for each in to_see]
    path = f"api/inspections/{to_see[0]['id']}"
    marks = [{"left": 2, "top": 3, "right": 9999, "bottom": 9}]
    said = served.post(f"{path}/reviews", {"answer": "defective", "who": "Ada", "marks": marks}).json
    assert said["marks"] == [{"left": 2, "top": 3, "right": to_see[0]["width"], "bottom": 9}]
    served.post(f"{path}/reviews", {"answer": "good", "who": "Bo", "note": "a hair"})
    assert [(r["who"], r["answer"]) for r in served.call(path).json["reviews"]] == [
        ("Ada", "defective"),
        ("Bo", "good"),
    ]
    assert served.call("api/waiting").json["waiting"] == wait["waiting"] - 1
    assert [c["action"] for c in served.call("api/changes").json["changes"]] == ["review", "review"]
    for bad in ({"answer": "maybe"}, {}, {"answer": "good", "marks": [{"left": -1}]}):
        assert served.post(f"{path}/reviews", bad).status == 422


def test_reviewed_pictures_are_a_data_set(served: Served, pictures: list[Path], tmp_path: Path) -> None:
    from understudy.data.layouts import open_pictures

    for picture in pictures:
        product, kind = picture.parts[-4], picture.parts[-2]
        (said,) = served.inspect(picture, product=product).json["results"]
        answer = "good" if kind == "good" else "defective"
        served.post(f"api/inspections/{said['inspection']['id']}/reviews", {"answer": answer, "who": "Ada"})
    archive = served.call("api/reviewed.zip")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as zipped:
        zipped.extractall(tmp_path)
    while list(served.station.options.folder.glob(".reviewed-*")):
        time.sleep(0.01)  # removed once the answer is sent
    reviewed = open_pictures(tmp_path / "reviewed")
    told = [(r.category, r.is_good, r.path.read_bytes()) for r in reviewed.records]
    assert sorted(told) == sorted((p.parts[-4], p.parts[-2] == "good", p.read_bytes()) for p in pictures)
    assert len(served.call("api/weeks").json["weeks"]) == 1


def test_thresholds_change_at_once_and_survive_a_restart(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    with serving(exported, tmp_path / "s") as served:
        record = served.inspect(pictures[0]).json["results"][0]["inspection"]
        new = {"product": record["product"], "review_above": -99.0, "fail_above": -98.0}
        tried = served.post("api/thresholds/what-if", new).json
        assert (tried["n"], tried["then"]["FAIL"]) == (1, 1)
        assert served.inspect(pictures[0]).json["results"][0]["inspection"]["verdict"] == record["verdict"]
        assert served.post("api/thresholds", {**new, "who": "Ada"}).status == 200
        after = served.inspect(pictures[0]).json["results"][0]["inspection"]
        assert (after["verdict"], after["fail_above"]) == ("FAIL", -98.0)
        assert after["calibration"] != record["calibration"]
        change = served.call("api/changes").json["changes"][0]
        assert (change["who"], change["action"], change["detail"]["after"]["fail_above"]) == (
            "Ada",
            "thresholds",
            -98.0,
        )
    with serving(None, tmp_path / "s") as served:
        again = served.inspect(pictures[0]).json["results"][0]["inspection"]
        assert (again["verdict"], again["calibration"]) == ("FAIL", after["calibration"])


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


def test_the_openapi_description_names_every_path(served: Served) -> None:
    paths = json.loads(served.call("openapi.json").body)["paths"]
    for path in ("/inspect", "/v2/models/{name}/infer", "/api/state", "/api/inspections/{id}/reviews"):
        assert path in paths
    assert "multipart/form-data" in paths["/inspect"]["post"]["requestBody"]["content"]


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
