"""What every call passes: limits, tokens, where it comes from, and safe headers."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from serving import Served, form_of, serving
from waiting import until

from understudy.station.app import _end_silent
from understudy.station.config import CallLimits
from understudy.station.tokens import Tokens


def test_every_answer_has_safe_headers(served: Served) -> None:
    for path in ("", "api/state", "nothing", "metrics", "v2/health/ready"):
        headers = served.call(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert "Server" not in headers


def test_limits_of_a_call(exported: Path, tmp_path: Path, pictures: list[Path]) -> None:
    data = pictures[0].read_bytes()
    limits = CallLimits(call_bytes=4 * len(data), picture_bytes=len(data), pictures=3)
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


def test_calls_that_are_large_together_come_again(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    data = pictures[0].read_bytes()
    with serving(exported, tmp_path / "s", limits=CallLimits(bytes_in_flight=len(data))) as served:
        for _ in range(3):  # what was answered counts no more
            assert served.call("inspect", data, {"Content-Type": "image/png"}).status == 200
        answer = served.call("inspect", data + b"x", {"Content-Type": "image/png"})
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert served.call("inspect", data, {"Content-Type": "image/png"}).status == 200


def test_a_slow_call_is_given_up(exported: Path, tmp_path: Path) -> None:
    with serving(exported, tmp_path / "s", limits=CallLimits(seconds=0.3)) as served:
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
    with serving(exported, tmp_path / "s", limits=CallLimits(calls=2)) as served:
        port = int(served.url.rstrip("/").rpartition(":")[2])
        head = b"POST /inspect HTTP/1.1\r\nHost: localhost\r\n"
        head += b"Content-Type: image/png\r\nContent-Length: 9\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        try:
            for client in slow:
                client.sendall(head)
            until(lambda: b"understudy_in_flight 2.0" in served.call("metrics").body)
            answer = served.inspect(pictures[0])
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert "2 calls are being answered" in answer.error
        finally:
            for client in slow:
                client.close()
        until(lambda: b"understudy_in_flight 0.0" in served.call("metrics").body)
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


def test_without_its_last_token_an_open_station_answers_nobody(
    exported: Path, tmp_path: Path, pictures: list[Path]
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    secret = Tokens(folder).create("line", "admin")
    with serving(exported, folder, host="0.0.0.0") as served:
        local = served.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(local, {"Authorization": f"Bearer {secret}"}) == 200
        Tokens(folder).revoke("line")
        for headers in ({}, {"Authorization": f"Bearer {secret}"}, {"Host": "localhost"}):
            assert ask(local, headers) == 401, headers


def ask(url: str, headers: dict[str, str]) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}api/state", headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_connections_that_ask_for_nothing_are_closed() -> None:
    aborted: list[str] = []

    def connection(name: str, cycle: object) -> Any:
        return SimpleNamespace(
            name=name, cycle=cycle, transport=SimpleNamespace(abort=lambda: aborted.append(name))
        )

    class Connection:
        def __init__(self, name: str, cycle: object) -> None:
            self.cycle, self.transport = cycle, connection(name, cycle).transport

    busy, silent = Connection("busy", object()), Connection("silent", None)
    rounds: Any = {}
    for _ in range(4):
        rounds = _end_silent([busy, silent], rounds)
    assert aborted == ["silent"]
