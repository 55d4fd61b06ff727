"""The review of the page in Chromium: answers by keyboard, marks by mouse and finger."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_visitor import Visitor

pytestmark = pytest.mark.xdist_group("page")


def test_review_by_keyboard_sends_the_answer_and_asks_who_once(visitor: Visitor) -> None:
    page = visitor.open("review")
    first, second = (row["inspection"]["id"] for row in visitor.get("api/waiting?limit=2")["rows"])
    page.keyboard.press("d")
    page.get_by_label("Your name").fill("Ana")
    with visitor.sends(f"{first}/reviews") as sent:
        page.keyboard.press("Enter")
    assert (sent["answer"], sent["who"]) == ("defective", "Ana")
    page.locator(".toast", has_text="defective").wait_for()
    with visitor.sends(f"{second}/reviews") as sent:
        page.keyboard.press("g")
    assert (sent["answer"], sent["who"], sent["marks"]) == ("good", "Ana", [])


def test_undo_brings_the_picture_back_and_its_new_answer_is_a_new_review(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("review")
    id = visitor.get("api/waiting?limit=1")["rows"][0]["inspection"]["id"]
    with visitor.sends(f"{id}/reviews"):
        page.keyboard.press("g")
    page.locator(".toast", has_text="good").wait_for()
    page.keyboard.press("u")
    page.get_by_text("You said good").wait_for()
    with visitor.sends(f"{id}/reviews"):
        page.keyboard.press("d")
    page.locator(".toast", has_text="defective").wait_for()
    reviews = visitor.get(f"api/inspections/{id}")["reviews"]
    assert [review["answer"] for review in reviews] == ["good", "defective"]


def test_arrows_walk_through_the_queue_and_answer_nothing(visitor: Visitor) -> None:
    page = visitor.open("review")
    before = visitor.get("api/waiting")["waiting"]
    page.get_by_text(re.compile("^1 of ")).wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_text(re.compile("^2 of ")).wait_for()
    page.keyboard.press("ArrowLeft")
    page.get_by_text(re.compile("^1 of ")).wait_for()
    assert visitor.get("api/waiting")["waiting"] == before


def test_letters_in_the_note_are_not_answers(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("review")
    before = visitor.get("api/waiting")["waiting"]
    page.get_by_label("Note").press_sequentially("good dud")
    assert visitor.get("api/waiting")["waiting"] == before


def test_the_picture_in_view_stays_when_somebody_else_answers_it(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("review")
    row = visitor.get("api/waiting?limit=1")["rows"][0]["inspection"]
    name = page.locator(".side .facts dd").first.inner_text()
    left = page.locator("#nav a[data-view=review] .badge").get_attribute("data-text")
    answer = {"answer": "good", "who": "Eve", "note": "", "marks": []}
    visitor.context.request.post(f"{visitor.url}/api/inspections/{row['id']}/reviews", data=answer)
    page.locator(f"#nav a[data-view=review] .badge:not([data-text='{left}'])").wait_for()
    assert page.locator(".side .facts dd").first.inner_text() == name == row["name"]


def test_a_mark_drawn_by_mouse_is_sent_in_pixels_of_the_picture(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("review")
    row = visitor.get("api/waiting?limit=1")["rows"][0]["inspection"]
    drag(page, row, (40, 60), (120, 200))
    page.get_by_role("button", name="Remove mark 1").wait_for()
    with visitor.sends(f"{row['id']}/reviews") as sent:
        page.keyboard.press("d")
    (mark,) = sent["marks"]
    expected = {"left": 40, "top": 60, "right": 120, "bottom": 200}
    assert mark.keys() == expected.keys()
    assert all(isinstance(mark[side], int) and abs(mark[side] - expected[side]) <= 1 for side in mark)


def test_a_mark_stays_within_the_picture_and_a_click_makes_none(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("review")
    row = visitor.get("api/waiting?limit=1")["rows"][0]["inspection"]
    drag(page, row, (100, 100), (101, 101))
    assert page.locator(".mark-chip").count() == 0
    drag(page, row, (100, 100), (row["width"] + 60, -50))
    with visitor.sends(f"{row['id']}/reviews") as sent:
        page.keyboard.press("d")
    (mark,) = sent["marks"]
    assert (mark["top"], mark["right"]) == (0, row["width"])


def drag(page: Any, row: dict[str, Any], begin: tuple[int, int], end: tuple[int, int]) -> None:
    box = page.locator(".frame").bounding_box()
    places = [
        (box["x"] + x * box["width"] / row["width"], box["y"] + y * box["height"] / row["height"])
        for x, y in (begin, end)
    ]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def test_a_finger_draws_only_after_draw_was_chosen(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url, has_touch=True, viewport={"width": 800, "height": 1100})
    page = visitor.open("review")
    swipe(page)
    assert page.locator(".mark-chip").count() == 0
    page.get_by_role("button", name="Draw").tap()
    swipe(page)
    page.locator(".mark-chip").wait_for()
    assert visitor.faults == []
    visitor.context.close()


def swipe(page: Any) -> None:
    page.locator(".frame").scroll_into_view_if_needed()
    box = page.locator(".frame").bounding_box()
    client = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 3, box["y"] + box["height"] / 3
    for kind, moved in (("touchStart", 0), ("touchMove", 40), ("touchMove", 90), ("touchEnd", None)):
        points = [] if moved is None else [{"x": x + moved, "y": y + moved}]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    client.detach()


def test_the_models_boxes_are_taken_as_marks_without_a_mouse(visitor: Visitor) -> None:
    visitor.named("Jo")
    page = visitor.open("inspection")
    regions = visitor.get(f"api/inspections/{page.url.rsplit('/', 1)[1]}")["inspection"]["regions"]
    page.get_by_role("button", name="Take the model's boxes").press("Enter")
    with visitor.sends("/reviews") as sent:
        page.get_by_role("button", name="Defective").press("Enter")
    assert sent["marks"] == [{k: r[k] for k in ("left", "top", "right", "bottom")} for r in regions]
    page.locator(".reviews", has_text="Jo").wait_for()
