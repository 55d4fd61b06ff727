"""A station that runs in the test's own process, on a free port."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy.runtime.inspector import Inspector
from understudy.station.config import StationOptions
from understudy.station.server import Running, running
from understudy.station.station import Station

__all__ = ["Answer", "Served", "form_of", "serving"]


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        sentence: str = self.json["error"]
        return sentence


@dataclass(frozen=True)
class Served:
    """A station, and a plain client of it."""

    running: Running

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def station(self) -> Station:
        return self.running.station

    def call(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}, method: str | None = None
    ) -> Answer:
        request = urllib.request.Request(self.url + path.lstrip("/"), body, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def post(self, path: str, content: object, headers: Mapping[str, str] = {}) -> Answer:
        return self.call(path, json.dumps(content).encode(), {"Content-Type": "application/json", **headers})

    def inspect(self, *pictures: tuple[str, bytes] | Path, **fields: str) -> Answer:
        files = [(p.name, p.read_bytes()) if isinstance(p, Path) else p for p in pictures]
        body, kind = form_of(files, fields)
        return self.call("inspect", body, {"Content-Type": kind})


def form_of(files: list[tuple[str, bytes]], fields: Mapping[str, str]) -> tuple[bytes, str]:
    """Return a multipart form and its content type."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in files:
        head = f'--{mark}\r\nContent-Disposition: form-data; name="pictures"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n")
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


@contextmanager
def serving(model: Path | None, folder: Path, **options: Any) -> Iterator[Served]:
    """Serve a model in this process, and stop at the end."""
    with running(StationOptions(folder=folder, port=0, **options), Inspector.load, model) as run:
        thread = threading.Thread(target=run.run)
        thread.start()
        try:
            while not run.server.started:
                assert thread.is_alive(), "the server did not start"
                time.sleep(0.005)
            yield Served(run)
        finally:
            run.server.should_exit = True
            thread.join()
