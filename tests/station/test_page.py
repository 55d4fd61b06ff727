"""The page in Chromium: each view shows its data, asks before it changes anything, and says what is wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest
from page_visitor import SHOWS, Visitor, serving_page, until

pytestmark = pytest.mark.xdist_group("page")
HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN = "a-token-of-the-test"


def test_live_shows_the_last_verdict_the_counts_and_the_last_pictures(visitor: Visitor) -> None:
    page = visitor.open("live")
    rows = visitor.get("api/inspections?limit=20")["rows"]
    state = visitor.get("api/state")
    last = rows[0]["inspection"]
    assert page.locator(".hero .word").inner_text() == last["verdict"]
    assert last["product"] in page.locator(".hero .line").inner_text()
    assert page.locator(".strip li").count() == len(rows)
    assert f"{state['last_hour']['PASS']:,}" in page.locator(".counts").inner_text()
    assert state["reasons"][0] in page.locator("#notice").inner_text()
    until(page, "[...document.querySelectorAll('.look img')].every(i => i.complete && i.naturalWidth)")
    assert page.locator(".look .layer rect.edge").count() == len(last["regions"])


def test_live_follows_a_new_picture_by_itself(visitor: Visitor) -> None:
    page = visitor.open("live")
    visitor.send("new-one.png")
    page.locator(".look .caption", has_text="new-one.png").wait_for()


def test_a_picture_of_this_device_is_inspected(visitor: Visitor) -> None:
    page = visitor.open("live")
    picture = visitor.picture()
    page.locator("#send").set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": picture})
    page.locator(".record", has_text="mine.png").wait_for()


def test_a_silent_station_is_said_and_no_old_verdict_stays(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url)
    page = visitor.open("live")
    page.route("**/api/**", lambda route: route.abort())
    page.locator(".notice.offline", has_text="does not answer").wait_for()
    assert page.locator(".hero .word").inner_text() == "NO ANSWER"
    page.unroute("**/api/**")
    page.locator(".hero .word", has_text=re.compile("^(PASS|REVIEW|FAIL)$")).wait_for()
    assert page.locator(".notice.offline").count() == 0
    visitor.context.close()


def test_the_page_asks_less_often_while_nobody_answers(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url)
    page = visitor.open("live")
    asked: list[str] = []
    page.route("**/api/state", lambda route: (asked.append(route.request.url), route.abort()))
    page.wait_for_timeout(5_000)
    visitor.context.close()
    assert 1 <= len(asked) <= 4


def test_a_red_station_is_an_alert_in_every_view(visitor: Visitor) -> None:
    state = {
        **visitor.get("api/state"),
        "state": "red",
        "reasons": ["Inspections are not stored: disk full."],
    }
    visitor.page.route("**/api/state", lambda route: route.fulfill(json=state))
    page = visitor.open("history")
    assert "disk full" in page.get_by_role("alert").inner_text()
    assert "Not keeping" in page.locator("#state").inner_text()


def test_a_database_that_is_gone_is_said_and_no_old_verdict_stays(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url)
    state = {
        **visitor.get("api/state"),
        "state": "red",
        "reasons": ["Inspections are not stored: it is gone."],
    }
    page = visitor.open("live")
    visitor.page.route("**/api/state", lambda route: route.fulfill(json={**state, "waiting": None}))
    visitor.page.route(
        "**/api/inspections?*",
        lambda route: route.fulfill(status=503, json={"error": "the database is gone"}),
    )
    page.locator(".hero .word", has_text="NO ANSWER").wait_for()
    assert "it is gone" in page.get_by_role("alert").inner_text()
    visitor.context.close()


def test_history_filters_searches_and_turns_pages(visitor: Visitor) -> None:
    page = visitor.open("history")
    everything = page.locator(".rows tbody tr").count()
    assert everything == 50
    page.get_by_role("button", name="Older").click()
    page.get_by_text("Page 2").wait_for()
    page.get_by_role("button", name="Newer").click()
    page.get_by_text("Page 1").wait_for()
    page.get_by_role("button", name="FAIL", exact=True).click()
    page.wait_for_url("**verdict=FAIL**")
    until(page, "[...document.querySelectorAll('.rows .chip')].every(c => !/PASS|REVIEW/.test(c.innerText))")
    page.get_by_label("Product").select_option("nut")
    page.get_by_label("Search").fill("nut-00")
    page.wait_for_url("**text=nut-00**")
    expected = visitor.get("api/inspections?verdict=FAIL&product=nut&text=nut-00")["rows"]
    until(page, "n => document.querySelectorAll('.rows tbody tr').length === n", len(expected))
    page.reload()
    page.locator(".rows tbody tr").first.wait_for()
    assert page.locator(".rows tbody tr").count() == len(expected)
    page.get_by_label("Search").fill("no such picture")
    page.get_by_text("No inspection fits these filters").wait_for()


def test_one_inspection_shows_picture_map_boxes_thresholds_and_reviews(visitor: Visitor) -> None:
    page = visitor.open("inspection")
    id = page.url.rsplit("/", 1)[1]
    record = visitor.get(f"api/inspections/{id}")["inspection"]
    text = page.locator("#content").inner_text()
    for shown in (
        record["picture_sha256"],
        record["model_sha256"],
        record["id"],
        f"{record['fail_above']:.2f}",
    ):
        assert shown in text
    slider = page.get_by_label("Heat map")
    slider.fill("20")
    assert page.locator(".frame .heat").evaluate("e => e.style.opacity") == "0.2"
    page.get_by_role("button", name="Boxes", exact=True).click()
    assert not page.locator(".layer .found").is_visible()


def test_an_unknown_inspection_leads_back(chromium: Any, station_url: str) -> None:
    visitor = Visitor(chromium, station_url)
    visitor.page.goto(f"{station_url}/#inspection/{'0' * 32}")
    visitor.page.get_by_text("There is no such inspection").wait_for()
    visitor.page.get_by_role("link", name="Back to History").wait_for()
    visitor.context.close()


def test_text_from_clients_is_shown_as_text(visitor: Visitor) -> None:
    visitor.send(HOSTILE)
    row = visitor.get("api/inspections?limit=1")["rows"][0]["inspection"]
    assert row["name"] == HOSTILE
    review = {"answer": "good", "who": HOSTILE, "note": HOSTILE, "marks": []}
    visitor.context.request.post(f"{visitor.url}/api/inspections/{row['id']}/reviews", data=review)
    page = visitor.open("live")
    page.get_by_text(HOSTILE).first.wait_for()
    visitor.open("history").get_by_text(HOSTILE).first.wait_for()
    page.goto(f"{visitor.url}/#inspection/{row['id']}")
    page.locator(".reviews .note", has_text=HOSTILE).wait_for()
    assert page.locator("img[src=x]").count() == 0


def test_drift_shows_the_alarm_and_is_reset_with_a_name(visitor: Visitor) -> None:
    visitor.named("Ana")
    page = visitor.open("drift")
    status = visitor.get("api/drift")
    assert page.locator(".stream").count() == len(status["streams"])
    alarm = next(stream for stream in status["streams"] if stream["since"] is not None)
    card = page.locator(".drift-card.alarmed")
    assert alarm["what"] in card.inner_text()
    card.get_by_role("button", name="It is mended").click()
    with visitor.sends("/api/drift/reset") as sent:
        page.get_by_role("button", name="Watch anew").click()
    assert (sent["product"], sent["who"]) == (alarm["product"], "Ana")
    page.get_by_text("No change is seen.").wait_for()


def test_thresholds_say_what_would_have_happened_before_they_are_saved(visitor: Visitor) -> None:
    visitor.named("Ana")
    page = visitor.open("thresholds")
    save = page.get_by_role("button", name="Save", exact=True)
    assert save.is_disabled()
    saved = visitor.get("api/thresholds")["products"][0]
    with visitor.sends("/api/thresholds/what-if") as sent:
        page.get_by_label("FAIL above, as a number").fill("1")
        page.keyboard.press("Tab")
    # REVIEW can not lie above FAIL, so it went along.
    assert (sent["product"], sent["fail_above"], sent["review_above"]) == (saved["product"], 1, 1)
    until(page, "!document.querySelector('.save-row .main-button').disabled")
    assert visitor.get("api/thresholds")["products"][0] == saved
    save.click()
    with visitor.sends("/api/thresholds$") as sent:
        page.get_by_role("button", name="Change them").click()
    assert (sent["fail_above"], sent["review_above"], sent["who"]) == (1, 1, "Ana")
    page.locator(".toast", has_text="in force").wait_for()


def test_a_token_without_the_right_can_look_but_not_change(visitor: Visitor) -> None:
    state = {**visitor.get("api/state"), "scopes": []}
    visitor.page.route("**/api/state", lambda route: route.fulfill(json=state))
    page = visitor.open("review")
    assert page.get_by_role("button", name="Good").is_disabled()
    page = visitor.open("thresholds")
    page.get_by_text("To save them, the screen needs an admin's token.").wait_for()
    page = visitor.open("model")
    assert page.get_by_role("button", name="Roll back").is_disabled()


def test_the_model_is_rolled_back_after_a_question(visitor: Visitor) -> None:
    visitor.named("Ana")
    page = visitor.open("model")
    model = visitor.get("api/model")
    text = page.locator("#content").inner_text()
    for shown in (model["name"], model["licence"], model["calibration"]["promise"], model["parity"]):
        assert shown in text
    page.get_by_role("button", name="Roll back").click()
    with visitor.sends("/api/model/rollback") as sent:
        page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    assert sent["who"] == "Ana"
    page.get_by_text(f"Version {model['version'] - 1}", exact=True).first.wait_for()


def test_reviewed_pictures_are_downloaded(visitor: Visitor) -> None:
    page = visitor.open("model")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Reviewed pictures").click()
    assert waiting.value.suggested_filename == "reviewed.zip"


def test_a_station_with_tokens_asks_for_one_and_shows_pictures_with_it(chromium: Any) -> None:
    with serving_page("--token", TOKEN) as url:
        visitor = Visitor(chromium, url)
        page = visitor.page
        page.goto(url)
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.keyboard.press("Enter")
        page.get_by_text("The token that was given does not do").wait_for()
        page.get_by_role("textbox", name="Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator(SHOWS["live"]).wait_for()
        until(page, "document.querySelector('.look .photo')?.naturalWidth > 0")
        assert page.evaluate("Object.values(localStorage).concat(document.cookie).join()").find(TOKEN) < 0
        visitor.context.close()


def test_empty_views_help(chromium: Any) -> None:
    with serving_page("--empty") as url:
        visitor = Visitor(chromium, url)
        for view, help in {
            "live": "curl -F pictures=@picture.png", "review": "Nothing waits for you",
            "history": "Nothing has been inspected yet", "drift": "Nothing is watched yet",
            "thresholds": "The model is not calibrated", "model": "No answers yet",
        }.items():  # fmt: skip
            visitor.page.goto(f"{url}/#{view}")
            visitor.page.get_by_text(help).wait_for()
        assert visitor.faults == []
        visitor.context.close()
