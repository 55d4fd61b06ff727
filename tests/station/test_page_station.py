"""The page on a real station: every view, a review by keyboard, and a PASS that is not kept on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_visitor import VIEWS, Visitor, until
from serving import Served, serving

pytestmark = pytest.mark.xdist_group("page")


@pytest.fixture
def served(exported: Path, factory: Path, tmp_path: Path) -> Iterator[Served]:
    pictures = sorted(factory.glob("*/test/*/*.png"))
    with serving(exported, tmp_path / "s", keep_every=0) as station:
        assert station.inspect(*pictures, job="A<b>1").status == 200
        station.inspect(*sorted(factory.glob("*/train/good/*.png"))[:8])
        yield station


@pytest.fixture
def visitor(chromium: Any, served: Served) -> Iterator[Visitor]:
    made = Visitor(chromium, served.url.rstrip("/"))
    yield made
    assert made.foreign == []
    assert made.faults == []
    made.context.close()


def test_every_view_shows_what_the_station_holds(visitor: Visitor, served: Served) -> None:
    for view in VIEWS:
        page = visitor.open(view)
        assert page.locator("h1").count() >= 1, view
    verdict = served.call("api/inspections?limit=1").json["rows"][0]["inspection"]["verdict"]
    page = visitor.open("live")
    assert verdict in page.locator(".hero .word").inner_text()


def test_a_pass_that_is_not_kept_is_seen_in_the_strip(visitor: Visitor, served: Served) -> None:
    rows = served.call("api/inspections?verdict=PASS&limit=1").json["rows"]
    assert rows[0]["inspection"]["picture"] is None
    visitor.open("live")
    loaded = "[...document.querySelectorAll('.thumb img.photo')].filter(i => i.naturalWidth > 0).length"
    until(visitor.page, f"{loaded} >= 8")


def test_an_answer_on_the_page_stands_in_the_database(visitor: Visitor, served: Served) -> None:
    waiting = served.call("api/waiting").json
    first = waiting["rows"][0]["inspection"]["id"]
    visitor.named("Ana")
    page = visitor.open("review")
    with visitor.sends(f"{first}/reviews"):
        page.keyboard.press("d")
    page.locator(".toast", has_text="defective").wait_for()
    (review,) = served.call(f"api/inspections/{first}").json["reviews"]
    assert (review["who"], review["answer"]) == ("Ana", "defective")
    assert served.call("api/waiting").json["waiting"] == waiting["waiting"] - 1
