"""Figures that Prometheus' own parser reads, and logs of one JSON object a line."""

from __future__ import annotations

import io
import json
import logging
import math
from collections.abc import Iterator
from datetime import datetime

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from understudy.station.telemetry import Telemetry, json_lines, log_event


def figures(telemetry: Telemetry) -> dict[tuple[str, ...], float]:
    """All figures, by name and values of the labels."""
    families = text_string_to_metric_families(telemetry.render().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value for each in families for sample in each.samples
    }


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    made = logging.getLogger("understudy.station.test")
    before = (made.handlers, made.propagate, made.level)
    yield made
    made.handlers, made.propagate = before[:2]
    made.setLevel(before[2])


def test_inspections_are_counted_by_verdict_and_product_and_timed() -> None:
    telemetry = Telemetry()
    telemetry.inspected("PASS", "nut", 0.012)
    telemetry.inspected("FAIL", "nut", 0.08)
    telemetry.inspected("REVIEW", None, 0.08)
    telemetry.inspected(None, "nut", 9.0)
    found = figures(telemetry)
    name = "understudy_inspections_total"
    by_labels = {
        labels: value
        for (each, *labels_), value in found.items()
        if each == name
        for labels in [frozenset(labels_)]
    }
    assert by_labels == {
        frozenset({"PASS", "nut"}): 1,
        frozenset({"FAIL", "nut"}): 1,
        frozenset({"REVIEW", "unknown"}): 1,
        frozenset({"NONE", "nut"}): 1,
    }
    assert found["understudy_inspection_seconds_count",] == 4
    assert found["understudy_inspection_seconds_bucket", "0.02"] == 1
    assert found["understudy_inspection_seconds_bucket", "0.1"] == 3
    assert found["understudy_inspection_seconds_bucket", "+Inf"] == 4
    assert math.isclose(found["understudy_inspection_seconds_sum",], 9.172)


def test_failures_and_records_are_counted() -> None:
    telemetry = Telemetry()
    assert figures(telemetry)["understudy_records_total", "false"] == 0
    telemetry.failed("picture")
    telemetry.stored(True)
    telemetry.stored(False)
    found = figures(telemetry)
    assert found["understudy_failures_total", "picture"] == 1
    assert found["understudy_records_total", "true"] == found["understudy_records_total", "false"] == 1


def test_a_gauge_is_read_anew_each_time_and_one_that_fails_spoils_no_other() -> None:
    telemetry = Telemetry()
    waiting = [1, 2]

    def gone() -> float:
        raise OSError("the database is gone")

    telemetry.gauge("waiting", "Pictures that wait for a person.", lambda: len(waiting))
    telemetry.gauge("disk_bytes", "Room on the disk.", gone)
    waiting.append(3)
    found = figures(telemetry)
    assert found["understudy_waiting",] == 3
    assert math.isnan(found["understudy_disk_bytes",])


def test_deliveries_show_what_other_parts_count() -> None:
    telemetry = Telemetry()
    counts = {"sent": 4, "failed": 1, "dropped": 0, "waiting": 2}
    telemetry.delivery("webhook", lambda: counts)
    telemetry.delivery("watch", lambda: {"done": 7, "waiting": 0})
    counts["sent"] = 5
    found = figures(telemetry)
    assert found["understudy_deliveries_total", "sent", "webhook"] == 5
    assert found["understudy_deliveries_total", "done", "watch"] == 7
    assert found["understudy_deliveries_waiting", "webhook"] == 2


def test_only_the_model_in_force_is_shown() -> None:
    telemetry = Telemetry()
    telemetry.model("nuts", 1, "ab" * 32)
    telemetry.model("nuts", 2, "cd" * 32)
    shown = [key for key in figures(telemetry) if key[0] == "understudy_model_info"]
    assert shown == [("understudy_model_info", "nuts", "cd" * 32, "2")]


def test_odd_names_are_read_back_as_they_are() -> None:
    telemetry = Telemetry()
    for product in ('a"b', "a\\b", "a\nb", "größe", "</script>"):
        telemetry.inspected("PASS", product, 0.01)
    telemetry.inspected("PASS", "nut\udcff", 0.01)
    products = {key[1] for key in figures(telemetry) if key[0] == "understudy_inspections_total"}
    assert products == {'a"b', "a\\b", "a\nb", "größe", "</script>", "nut\\udcff"}


def test_no_client_can_make_ever_more_figures() -> None:
    telemetry = Telemetry()
    for number in range(1000):
        telemetry.inspected("PASS", f"product {number}", 0.01)
        telemetry.failed(f"kind {number}")
    telemetry.inspected("PASS", "product 3", 0.01)
    found = figures(telemetry)
    products = {key: value for key, value in found.items() if key[0] == "understudy_inspections_total"}
    assert len(products) == 201
    assert sum(products.values()) == 1001
    assert next(value for key, value in products.items() if "other" in key) == 800
    assert next(value for key, value in products.items() if "product 3" in key) == 2


def test_two_stations_of_one_process_share_nothing() -> None:
    first, second = Telemetry(), Telemetry()
    first.failed("busy")
    assert ("understudy_failures_total", "busy") not in figures(second)
    assert b"understudy" not in prometheus_client.generate_latest()


def test_the_content_type_is_that_of_prometheus_text() -> None:
    assert Telemetry().content_type.startswith("text/plain; version=")


def test_a_log_line_is_one_json_object_with_time_level_event_and_fields(logger: logging.Logger) -> None:
    stream = io.StringIO()
    json_lines(logger, stream)
    log_event(
        logger, "inspected", id="ab", verdict="FAIL", score=3.5, products=["nut"], level="own", event="own"
    )
    logger.warning("%s is\ntoo large", "a.png")
    first, second = map(json.loads, stream.getvalue().splitlines())
    time = datetime.fromisoformat(first.pop("time"))
    assert time.utcoffset() is not None
    assert abs(time.timestamp() - datetime.now().timestamp()) < 60
    assert first == {
        "level": "info",
        "event": "inspected",
        "id": "ab",
        "verdict": "FAIL",
        "score": 3.5,
        "products": ["nut"],
    }
    assert (second["level"], second["event"]) == ("warning", "a.png is\ntoo large")


def test_whatever_a_field_holds_a_line_is_json(logger: logging.Logger) -> None:
    stream = io.StringIO()
    json_lines(logger, stream)
    circle: list[object] = []
    circle.append(circle)
    log_event(logger, "odd", score=math.nan, thing=object(), name="nut\udcff", circle=circle)
    logger.info("%d of %d", "one")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["odd", "%d of %d", "failed"]
    assert lines[0]["score"] == "nan"
    assert "ValueError: two\nlines" in lines[2]["error"]


def test_lines_are_written_once_however_often_it_is_asked_for(logger: logging.Logger) -> None:
    stream = io.StringIO()
    assert json_lines(logger, stream) is json_lines(logger, stream)
    log_event(logger, "once")
    assert len(stream.getvalue().splitlines()) == 1
