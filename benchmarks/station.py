"""What a station costs: latency and throughput over HTTP beside the runtime alone, memory, and kill -9.

    python benchmarks/station.py --model EXPORTED --data PICTURES --out benchmarks/results/station.csv

Rows are added to the file. Parts: ``--parts latency,throughput,memory,kill``. The station runs in a process
of its own on a free port, with SQLite on the disk of ``--folder``. Clients keep their connections open; where
time is measured they send bytes made before, on a plain socket, since they share the station's cores.

- latency: one picture at a time. Rounds alternate with the runtime alone (``Inspector.predict`` of the same
  file in this process), so that both meet the same machine.
- throughput: eight clients beside ``predict`` of the same pictures in batches of eight.
- memory: resident memory of the station over many calls of eight clients.
- kill: kill -9 under load, start again, and look for acknowledged records that are missing or doubled.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from machine import append, provenance
from understudy.data.layouts import open_pictures
from understudy.runtime.inspector import Inspector

CLIENTS = 8


def main() -> None:
    """Measure what is asked for and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="exported model")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of pictures; the good ones of its test are sent"
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    parser.add_argument("--folder", type=Path, help="folder for the station, on a disk; a temporary one")
    parser.add_argument("--parts", default="latency,throughput,memory,kill")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=100, help="pictures of a round")
    parser.add_argument("--calls", type=int, default=10_000, help="calls of the memory part")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--serve", default="", help="further options of understudy serve, in one word")
    asked = parser.parse_args()
    test = [record.path for record in open_pictures(asked.data).test() if record.is_good]
    pictures = [test[i * len(test) // asked.pictures] for i in range(min(asked.pictures, len(test)))]
    parts = {"latency": latency, "throughput": throughput, "memory": memory, "kill": kill}
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        for part in asked.parts.split(","):
            row = parts[part](asked, Path(place) / part, pictures)
            print(part, row, flush=True)
            append(asked.out, [{"part": part, "figures": json.dumps(row)} | provenance()])


@dataclass
class Server:
    """A station in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    def memory(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def start(asked: argparse.Namespace, folder: Path) -> Server:
    """Start a station and wait until it is ready."""
    command = [sys.executable, "-m", "understudy", "serve", str(asked.model), "--folder", str(folder)]
    command += ["--port", "0", "--threads", str(asked.threads), *asked.serve.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if "http://" not in line:
        raise SystemExit(f"the station did not start: {line}")
    server = Server(process, int(line.split("http://", 1)[1].split("/")[0].rpartition(":")[2]))
    while True:
        try:
            ask(connect(server), "GET", "/v2/health/ready")
        except OSError:
            time.sleep(0.01)
        else:
            return server


@contextmanager
def serving(asked: argparse.Namespace, folder: Path) -> Iterator[Server]:
    """Run a station for the length of the block."""
    server = start(asked, folder)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGINT)
        server.process.wait()


def connect(server: Server) -> http.client.HTTPConnection:
    """Open a connection."""
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> dict[str, Any]:
    """Call the station; return its answer."""
    connection.request(method, path, body, {"Content-Type": "image/png"} if body else {})
    with connection.getresponse() as response:
        answer: dict[str, Any] = json.loads(response.read())
        if response.status >= 400:
            raise SystemExit(f"{path}: {response.status} {answer}")
        return answer


class LeanClient:
    """Sends pictures on one connection and reads no more of an answer than its status and its length."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @staticmethod
    def call_of(content: bytes) -> bytes:
        """Return the bytes of a call with a picture."""
        head = "POST /inspect HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    def send(self, call: bytes) -> None:
        """Send a call and wait for its whole answer."""
        self._socket.sendall(call)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._read()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the station answered {head[:200]!r} {body[:200]!r}")
        lines = head.lower().split(b"\r\n")
        (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._read()

    def _read(self) -> bytes:
        read = self._socket.recv(65536)
        if not read:
            raise SystemExit("the station closed the connection")
        return read


def together(server: Server, calls: list[bytes]) -> None:
    """Send calls by eight clients at the same time."""

    def client(n: int) -> None:
        lean = LeanClient(server)
        for call in calls[n::CLIENTS]:
            lean.send(call)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def judge(inspector: Inspector, picture: Path) -> None:
    """Judge one picture by the runtime alone."""
    list(inspector.predict(iter([picture])))


def taken(work: Callable[[], object]) -> float:
    """Milliseconds that some work takes."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def latency(asked: argparse.Namespace, folder: Path, pictures: list[Path]) -> dict[str, Any]:
    """Milliseconds of one picture at a time, over HTTP and by the runtime alone, in alternating rounds."""
    inspector = Inspector.load(asked.model, asked.threads)
    calls = [LeanClient.call_of(path.read_bytes()) for path in pictures]
    station: list[float] = []
    alone: list[float] = []
    with serving(asked, folder) as server:
        lean = LeanClient(server)
        for turn in range(asked.rounds + 1):
            served = [taken(partial(lean.send, call)) for call in calls]
            judged = [taken(partial(judge, inspector, p)) for p in pictures]
            if turn:  # the first round warms up
                station += served
                alone += judged
    return {
        "n": len(station),
        "station_p50": round(median(station), 2),
        "station_p99": round(sorted(station)[int(0.99 * len(station))], 2),
        "runtime_p50": round(median(alone), 2),
        "runtime_p99": round(sorted(alone)[int(0.99 * len(alone))], 2),
        "overhead_p50": round(median(s - a for s, a in zip(station, alone, strict=True)), 2),
    }


def throughput(asked: argparse.Namespace, folder: Path, pictures: list[Path]) -> dict[str, Any]:
    """Pictures a second of eight clients, beside ``predict``, in alternating rounds."""
    inspector = Inspector.load(asked.model, asked.threads)
    calls = [LeanClient.call_of(path.read_bytes()) for path in pictures]
    station: list[float] = []
    alone: list[float] = []
    with serving(asked, folder) as server:
        for turn in range(asked.rounds + 1):
            began = time.perf_counter()
            together(server, calls)
            middle = time.perf_counter()
            list(inspector.predict(pictures, batch_size=8))
            if turn:
                station.append(len(pictures) / (middle - began))
                alone.append(len(pictures) / (time.perf_counter() - middle))
    shares = [s / a for s, a in zip(station, alone, strict=True)]
    return {
        "station_per_second": round(median(station), 1),
        "predict_per_second": round(median(alone), 1),
        "share": round(median(shares), 3),
        "shares": [round(share, 3) for share in shares],
    }


def memory(asked: argparse.Namespace, folder: Path, pictures: list[Path]) -> dict[str, Any]:
    """Resident memory of the station after each tenth of the calls of eight clients."""
    calls = [LeanClient.call_of(path.read_bytes()) for path in pictures]
    at: list[float] = []
    with serving(asked, folder) as server:
        for tenth in range(10):
            together(server, [calls[(tenth + i) % len(calls)] for i in range(asked.calls // 10)])
            at.append(round(server.memory(), 1))
    return {"calls": asked.calls, "mib": at, "growth_mib": round(at[-1] - at[0], 1)}


def kill(asked: argparse.Namespace, folder: Path, pictures: list[Path]) -> dict[str, Any]:
    """Kill a station under load many times; count acknowledged records that are missing or doubled."""
    contents = [path.read_bytes() for path in pictures[:20]]
    acknowledged: dict[str, str] = {}
    repeated = 0
    for turn in range(asked.kills):
        server = start(asked, folder)
        lost: list[str] = []

        def client(n: int, server: Server = server, turn: int = turn, lost: list[str] = lost) -> None:
            connection = connect(server)
            i = 0
            while True:
                client_id = f"{turn}-{n}-{i}"
                try:
                    path = f"/inspect?id={client_id}"
                    (result,) = ask(connection, "POST", path, contents[i % len(contents)])["results"]
                except (OSError, http.client.HTTPException, ValueError):
                    lost.append(client_id)
                    return
                if result["stored"]:
                    acknowledged[client_id] = result["inspection"]["id"]
                i += 1

        threads = [threading.Thread(target=client, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.2 + 0.05 * (turn % 7))
        server.process.kill()
        server.process.wait()
        for thread in threads:
            thread.join()
        if turn % 20 == 0:  # a client that had no answer sends its picture again
            with serving(asked, folder) as again:
                connection = connect(again)
                for client_id in lost:
                    i = int(client_id.rpartition("-")[2])
                    path = f"/inspect?id={client_id}"
                    (result,) = ask(connection, "POST", path, contents[i % len(contents)])["results"]
                    acknowledged[client_id] = result["inspection"]["id"]
                    repeated += result["repeated"]
    kept: dict[str, list[str]] = {}
    with serving(asked, folder) as server:
        connection, before = connect(server), ""
        while True:
            page = ask(connection, "GET", f"/api/inspections?limit=500{before}")
            for row in page["rows"]:
                kept.setdefault(row["inspection"]["client_id"], []).append(row["inspection"]["id"])
            if page["next"] is None:
                break
            before = f"&before={page['next']}"
    shutil.rmtree(folder)
    return {
        "kills": asked.kills,
        "acknowledged": len(acknowledged),
        "missing": sum(id not in kept.get(client, ()) for client, id in acknowledged.items()),
        "doubled": sum(len(ids) > 1 for ids in kept.values()),
        "stored_before_the_answer": repeated,
    }


if __name__ == "__main__":
    main()
