"""A person at the page: a browser that notes what goes wrong, and a small station to visit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["SHOWS", "VIEWS", "Visitor", "chromium", "serving_page", "station_url", "until", "visitor"]

SERVER = Path(__file__).with_name("page_server.py")
VIEWS = ("live", "review", "history", "drift", "thresholds", "model", "inspection", "calls")
SHOWS = {
    "live": ".hero .word:text-matches('.+')",
    "review": ".answers button",
    "history": ".rows tbody tr",
    "drift": ".stream",
    "thresholds": ".outcome table",
    "model": ".versions li",
    "inspection": ".record dd",
    "calls": ".calls li",
}
"""What stands on a view when it has its data."""


def until(page: Any, script: str, given: Any = None) -> None:
    """Wait until a script gives true; Playwright's own way is refused by the page's policy."""
    end = time.monotonic() + 15
    while not page.evaluate(script, given):
        assert time.monotonic() < end, f"never true: {script}"
        page.wait_for_timeout(30)


@contextmanager
def serving_page(*options: str) -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, str(SERVER), *options], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http"), "the server did not start"
            yield address
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def station_url() -> Iterator[str]:
    """Address of a station with a history; its pictures and answers are canned."""
    pytest.importorskip("fastapi", reason="the extra station is not installed")
    with serving_page() as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A page in a browser that notes what goes wrong and what is asked for."""

    def __init__(self, chromium: Any, url: str, **options: Any) -> None:
        self.url = url
        self.context = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options}
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.faults: list[str] = []
        self.foreign: list[str] = []
        self.page.on(
            "console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda r: self.foreign.append(r.url) if not self.is_own(r.url) else None)

    def is_own(self, url: str) -> bool:
        return url.startswith((f"{self.url}/", f"blob:{self.url}/"))

    def get(self, path: str) -> Any:
        return self.context.request.get(f"{self.url}/{path}").json()

    def open(self, view: str) -> Any:
        self.page.goto(f"{self.url}/#{self.address(view)}")
        until(self.page, "!document.querySelector('#content [aria-busy=true]')")
        self.page.locator(SHOWS[view]).first.wait_for()
        return self.page

    def address(self, view: str) -> str:
        if view != "inspection":
            return view
        row = self.get("api/inspections?verdict=FAIL&limit=1")["rows"][0]
        return f"inspection/{row['inspection']['id']}"

    def picture(self) -> bytes:
        """Bytes of a picture that the station has kept."""
        id = self.get("api/inspections?verdict=FAIL&limit=1")["rows"][0]["inspection"]["id"]
        return bytes(self.context.request.get(f"{self.url}/api/inspections/{id}/picture").body())

    def send(self, name: str) -> None:
        """Send a picture to the station, as a client does."""
        file = {"name": name, "mimeType": "image/png", "buffer": self.picture()}
        self.context.request.post(f"{self.url}/inspect", multipart={"pictures": file})

    def named(self, name: str) -> None:
        """Be somebody whom the page has asked already."""
        self.page.goto(f"{self.url}/")
        self.page.evaluate("name => localStorage.setItem('understudy.who', name)", name)

    @contextmanager
    def sends(self, path: str) -> Iterator[dict[str, Any]]:
        """What the page sends to a path in the block."""
        sent: dict[str, Any] = {}
        pattern = re.compile(path)
        with self.page.expect_request(
            lambda r: r.method == "POST" and bool(pattern.search(r.url))
        ) as waiting:
            yield sent
        sent.update(json.loads(waiting.value.post_data or "{}"), url=waiting.value.url)
        waiting.value.response()


@pytest.fixture
def visitor(chromium: Any, station_url: str) -> Iterator[Visitor]:
    visitor = Visitor(chromium, station_url)
    yield visitor
    visitor.context.close()
    assert visitor.faults == []
    assert visitor.foreign == []
