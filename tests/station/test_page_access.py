"""Whether everybody can use the page: contrast, keyboard, fingers, small screens; and its screenshots."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import pytest
from page_visitor import VIEWS, Visitor, serving_page
from PIL import Image

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

pytestmark = pytest.mark.xdist_group("page")
ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "docs" / "station"


def test_the_verdict_can_be_read_from_three_metres(visitor: Visitor) -> None:
    # A letter is read at 1/200 of the distance: 15 mm at 3 m, which is 57 CSS pixels.
    page = visitor.open("live")
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 800})
        size = page.locator(".hero .word").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        assert 0.7 * size > 57


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800])
def test_no_view_breaks_a_rule_of_access(chromium: Any, station_url: str, scheme: str, width: int) -> None:
    visitor = Visitor(chromium, station_url, color_scheme=scheme, viewport={"width": width, "height": 1000})
    broken = {}
    for view in VIEWS:
        page = visitor.open(view)
        found = axe.Axe().run(page).response["violations"]
        if found:
            broken[view] = [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]
    assert broken == {}
    assert visitor.faults == []
    visitor.context.close()


@pytest.mark.parametrize("verdict", ["PASS", "REVIEW", "FAIL", None])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_verdict_has_contrast_a_word_and_a_shape(
    chromium: Any, station_url: str, verdict: str | None, scheme: str
) -> None:
    visitor = Visitor(chromium, station_url, color_scheme=scheme)
    rows = visitor.get("api/inspections?limit=20")
    rows["rows"][0]["inspection"]["verdict"] = verdict
    visitor.page.route("**/api/inspections?*", lambda route: route.fulfill(json=rows))
    page = visitor.open("live")
    assert page.locator(".hero .word").inner_text() == (verdict or "NO VERDICT")
    assert (
        page.locator(".hero .symbol use").get_attribute("href")
        == f"page/icons.svg#{(verdict or 'none').lower()}"
    )
    assert axe.Axe().run(page).response["violations"] == []
    visitor.context.close()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [1280, 800])
def test_every_control_is_reached_by_tab_and_large_enough_for_a_finger(
    visitor: Visitor, view: str, width: int
) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 1000})
    page = visitor.open(view)
    page.wait_for_timeout(300)
    # The state comes every second; the strip and the table stay as they are meanwhile.
    controls = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, textarea')].filter(
            e => !e.disabled && !e.matches('.skip, [aria-hidden=true]') && e.checkVisibility()
        ).map((e, i) => { e.dataset.n = i; return e.outerHTML.slice(0, 100); })"""
    )
    small = page.evaluate(
        """() => [...document.querySelectorAll(
                'button, input, select, textarea, nav a, .button, .strip a, .cover')]
            .filter(e => e.checkVisibility() && !e.matches('[aria-hidden=true], .hidden'))
            .filter(e => { const b = e.getBoundingClientRect(); return b.height < 44 || b.width < 44; })
            .map(e => e.outerHTML.slice(0, 100))"""
    )
    assert small == []
    reached = set()
    for _ in range(len(controls) + 30):
        page.keyboard.press("Tab")
        number, seen = page.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
                const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
                return [e.dataset.n ?? null, seen]; }"""
        )
        if number is not None:
            assert seen, controls[int(number)]
            reached.add(int(number))
        if len(reached) == len(controls):
            break
    assert [controls[i] for i in range(len(controls)) if i not in reached] == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [1280, 800, 400])
def test_no_view_is_wider_than_the_screen(visitor: Visitor, view: str, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 1000})
    page = visitor.open(view)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_keeps_the_strict_policy_of_the_server(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url)
    answer = visitor.page.goto(station_url)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    for file in (ROOT / "src" / "understudy" / "station" / "page").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text
        )
        assert not re.search(r"https?://(?!www\.w3\.org/)", text)
        assert len(text.splitlines()) < 400
    visitor.context.close()


@pytest.mark.skipif(os.environ.get("UNDERSTUDY_SCREENSHOTS") != "1", reason="UNDERSTUDY_SCREENSHOTS is not 1")
def test_screenshots_for_the_documentation(chromium: Any) -> None:
    shown = {(1280, 800): ("drift", "live", "review"), (800, 1100): ("live",)}
    SHOTS.mkdir(parents=True, exist_ok=True)
    with serving_page() as url:
        for (width, height), views in shown.items():
            for view in views:
                visitor = Visitor(chromium, url, viewport={"width": width, "height": height})
                visitor.named("Ana")
                page = visitor.open(view)
                if view == "review":
                    page.locator(".side .chip.review").wait_for()
                    while not page.locator(".layer .found rect").count():
                        page.keyboard.press("ArrowRight")
                page.evaluate("document.activeElement.blur()")
                page.wait_for_timeout(1200)
                shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                shot.quantize(256).save(SHOTS / f"{view}-{width}.png", optimize=True)
                visitor.context.close()
