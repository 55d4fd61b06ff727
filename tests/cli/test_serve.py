"""``understudy serve`` in a process of its own: it starts, stops when told, and loses nothing when killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from understudy.cli import main


@pytest.fixture
def serve(exported: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Start a station in a process of its own; return the process and its port."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[subprocess.Popen[str], int]:
        command = [sys.executable, "-m", "understudy", "serve", str(exported), "--port", "0", *options]
        log = (tmp_path / f"log{len(started)}").open("w")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path)
        log.close()
        started.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, (tmp_path / f"log{len(started) - 1}").read_text()
        return process, int(line.split("127.0.0.1:", 1)[1].split("/")[0])

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def when_ready(port: int) -> None:
    while True:
        try:
            return ask(port, "GET", "/v2/health/ready")
        except OSError:
            time.sleep(0.01)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_station_in_order(serve: Any, factory: Path, tmp_path: Path, kind: int) -> None:
    picture = next(factory.glob("*/test/good/*.png"))
    process, port = serve()
    when_ready(port)
    assert ask(port, "POST", "/inspect", picture.read_bytes())["results"][0]["stored"]
    process.send_signal(kind)
    out, _ = process.communicate(timeout=60)
    assert out == "the station has stopped; everything that it answered is kept\n"
    assert process.returncode == 0
    assert (tmp_path / "station" / "station.db").is_file()
    assert not (tmp_path / "station" / "station.db-wal").exists()


def test_killed_at_any_moment_nothing_acknowledged_is_lost_or_doubled(serve: Any, factory: Path) -> None:
    contents = [path.read_bytes() for path in sorted(factory.glob("*/test/good/*.png"))]
    acknowledged: dict[str, str] = {}

    def client(port: int, turn: int, n: int) -> None:
        for i in range(1000):
            name = f"{turn}-{n}-{i}"
            try:
                answer = ask(port, "POST", f"/inspect?id={name}", contents[i % len(contents)])
            except (OSError, http.client.HTTPException, ValueError):
                return
            assert answer["results"][0]["stored"]
            acknowledged[name] = answer["results"][0]["inspection"]["id"]

    for turn in range(4):
        process, port = serve()
        when_ready(port)
        threads = [threading.Thread(target=client, args=(port, turn, n)) for n in range(3)]
        for thread in threads:
            thread.start()
        before = len(acknowledged)
        while len(acknowledged) < before + 3 + 4 * turn:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
    _, port = serve()
    when_ready(port)
    rows = ask(port, "GET", "/api/inspections?limit=500")["rows"]
    kept = [(row["inspection"]["client_id"], row["inspection"]["id"]) for row in rows]
    assert len(kept) == len({client for client, _ in kept})
    assert set(acknowledged.items()) <= set(kept)
    for i, (name, id) in enumerate(list(acknowledged.items())[:3]):
        number = int(name.rpartition("-")[2])
        again = ask(port, "POST", f"/inspect?id={name}", contents[number % len(contents)])["results"][0]
        assert (again["repeated"], again["inspection"]["id"]) == (True, id), i


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--station", "a b"], "--station:"),
        (["--webhook-only", "FAIL,BAD"], "--webhook-only takes PASS, REVIEW and FAIL, got 'BAD'"),
        (["--host", "0.0.0.0"], "so a token is needed; make one first: understudy station token"),
        (["--database", "nonsense"], "database"),
        (["--webhook", "nonsense"], "the webhook's URL must look like"),
    ],
)
def test_a_bad_option_gets_one_sentence(
    exported: Path, tmp_path: Path, the_error: Callable[[], str], options: list[str], sentence: str
) -> None:
    call = ["serve", str(exported), "--folder", str(tmp_path / "s"), "--port", "0", *options]
    assert main(call) in (1, 2)
    assert sentence in the_error()


def test_a_station_without_a_model_says_how_to_name_one(tmp_path: Path, the_error: Callable[[], str]) -> None:
    assert main(["serve", "--folder", str(tmp_path / "s"), "--port", "0"]) == 2
    assert "name one: understudy serve MODEL" in the_error()


def test_without_its_packages_the_extra_is_named(
    exported: Path, monkeypatch: pytest.MonkeyPatch, the_error: Callable[[], str]
) -> None:
    monkeypatch.setitem(sys.modules, "understudy.station.server", None)
    assert main(["serve", str(exported)]) == 2
    assert "pip install 'understudy[station]'" in the_error()


def test_serving_an_exported_model_loads_no_torch(exported: Path) -> None:
    blocked = (
        "import sys\nfor n in ('torch', 'timm', 'scipy', 'lightning', 'psutil'): sys.modules[n] = None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked + "import understudy.station.server, understudy.station.reviewed"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_memory_is_flat_over_thousands_of_calls(serve: Any, factory: Path) -> None:
    content = next(factory.glob("*/test/good/*.png")).read_bytes()
    process, port = serve("--keep-every", "0")
    when_ready(port)

    def calls(n: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(n):
            connection.request("POST", "/inspect", content, {"Content-Type": "image/png"})
            assert json.loads(connection.getresponse().read())["results"][0]["stored"]
        connection.close()

    def after(n: int) -> float:
        threads = [threading.Thread(target=calls, args=(n // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    before = after(1000)
    assert after(2000) - before < 6  # 3 kB a call, of which SQLite holds what it has of the database
    assert ask(port, "GET", "/api/state")["today"]["PASS"] >= 0
