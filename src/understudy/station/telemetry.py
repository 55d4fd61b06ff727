"""What the station tells the plant's monitoring: figures for Prometheus, and logs in JSON lines."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TextIO

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from understudy.types import Verdict

__all__ = ["Telemetry", "json_lines", "log_event"]

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
_MOST_VALUES = 200  # different values of a label; all others are called "other"


class Telemetry:
    """Figures of one station, in a registry of their own.

    Counts last as long as the process. A product or a kind of failure beyond the 200th counts as ``other``:
    no client can fill the memory.

    Attributes:
        content_type: content type of :meth:`render`.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._labels: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._inspected = Counter(
            "understudy_inspections", "Pictures judged.", ["verdict", "product"], registry=registry
        )
        self._seconds = Histogram(
            "understudy_inspection_seconds",
            "Time from a picture's arrival to its verdict.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._failed = Counter(
            "understudy_failures", "Pictures and calls not served, by kind.", ["kind"], registry=registry
        )
        self._stored = Counter(
            "understudy_records", "Records, by whether they were stored.", ["stored"], registry=registry
        )
        for stored in ("true", "false"):
            self._stored.labels(stored)  # shown from the beginning, so that an alert can compare
        self._model = Gauge(
            "understudy_model_info", "Model in force.", ["name", "version", "sha256"], registry=registry
        )
        self._deliveries = _Deliveries()
        registry.register(self._deliveries)
        ProcessCollector(registry=registry)

    def inspected(self, verdict: Verdict | None, product: str | None, seconds: float) -> None:
        """Count a judged picture.

        Args:
            verdict: its verdict; ``None`` counts as ``NONE``.
            product: its product; ``None`` counts as ``unknown``.
            seconds: time from its arrival to its verdict.
        """
        self._inspected.labels(verdict or "NONE", self._label("product", product or "unknown")).inc()
        self._seconds.observe(seconds)

    def failed(self, kind: str) -> None:
        """Count a picture or a call that was not served, by a short word such as ``picture`` or ``busy``."""
        self._failed.labels(self._label("kind", kind)).inc()

    def stored(self, is_stored: bool) -> None:
        """Count a record by whether it was stored."""
        self._stored.labels("true" if is_stored else "false").inc()

    def model(self, name: str, version: int, sha256: str) -> None:
        """Say which model is in force."""
        self._model.clear()
        self._model.labels(_text(name), str(version), sha256).set(1)

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Add a figure that is read each time somebody asks.

        Args:
            name: name after ``understudy_``, such as ``waiting``.
            what: what it is, in a sentence.
            read: returns the figure. If it raises, the figure is not a number.
        """

        def value() -> float:
            try:
                return float(read())
            except Exception:  # a database that is gone must not take the other figures with it
                return math.nan

        Gauge(f"understudy_{name}", what, registry=self._registry).set_function(value)

    def delivery(self, way: str, status: Callable[[], Mapping[str, int]]) -> None:
        """Add the counts of a webhook, of MQTT or of a watched folder.

        Args:
            way: its name, such as ``webhook``.
            status: returns the counts by outcome, and the number that wait as ``waiting``.
        """
        self._deliveries.ways[way] = status

    def render(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _label(self, name: str, value: str) -> str:
        value = _text(value)
        with self._lock:
            values = self._labels.setdefault(name, set())
            if value not in values and len(values) >= _MOST_VALUES:
                return "other"
            values.add(value)
        return value


class _Deliveries(Collector):
    """Counts that other parts keep, read when somebody asks."""

    def __init__(self) -> None:
        self.ways: dict[str, Callable[[], Mapping[str, int]]] = {}

    def collect(self) -> Iterator[Metric]:
        outcomes = CounterMetricFamily(
            "understudy_deliveries", "Results and pictures passed on, by outcome.", labels=["way", "outcome"]
        )
        waiting = GaugeMetricFamily(
            "understudy_deliveries_waiting", "Results and pictures that wait to be passed on.", labels=["way"]
        )
        for way, status in list(self.ways.items()):
            for outcome, number in status().items():
                if outcome == "waiting":
                    waiting.add_metric([way], number)
                else:
                    outcomes.add_metric([way, outcome], number)
        yield from (outcomes, waiting)


def _text(value: str) -> str:
    """Return a text without what UTF-8 cannot hold."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def json_lines(logger: logging.Logger, stream: TextIO | None = None) -> logging.Handler:
    """Let a logger write one JSON object a line, and nothing else; a second call changes nothing.

    Every line has ``time`` (ISO 8601, UTC), ``level`` and ``event``, then the given fields; an error adds
    ``error``.

    Args:
        logger: logger, whose messages go to no other logger any more.
        stream: where to; standard error if not given.
    """
    for handler in logger.handlers:
        if isinstance(handler.formatter, _JsonLine):
            return handler
    made = logging.StreamHandler(stream if stream is not None else sys.stderr)
    made.setFormatter(_JsonLine())
    logger.handlers, logger.propagate = [made], False
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    return made


def log_event(logger: logging.Logger, event: str, /, **fields: object) -> None:
    """Log an event with fields.

    Args:
        logger: where to.
        event: what happened, in a word or a short sentence.
        fields: what belongs to it; anything that JSON cannot hold is written as text.
    """
    logger.info("%s", event, extra={"fields": fields})


class _JsonLine(logging.Formatter):
    """A log record -> one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": time, "level": record.levelname.lower()}
        line["event"] = _message(record)
        fields = getattr(record, "fields", {})
        line |= {name: value for name, value in fields.items() if name not in line}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        try:
            return json.dumps(line, default=str, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return json.dumps({name: str(value) for name, value in line.items()})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)
