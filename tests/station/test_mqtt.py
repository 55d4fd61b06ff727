"""Results reach a broker at least once, across lost connections, in bounded memory."""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from waiting import free_port, until

from understudy.errors import InputError
from understudy.station.mqtt import MqttPublisher

RESULTS, ONLINE = "understudy/line3/results", "understudy/line3/online"


CONNECT, PUBLISH, PINGREQ, DISCONNECT = 1, 3, 12, 14


class Broker:
    """A small MQTT 3.1.1 broker, which passes nothing on.

    It remembers the logins, and what is published, as (topic, payload, retained).

    Args:
        port: port to bind to.
        code: answer to a connection: 0 accepts it, 5 refuses it.
        silent: number of messages that are read and not acknowledged, before the connection is cut.
    """

    def __init__(self, port: int = 0, code: int = 0, silent: int = 0) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.logins: list[bytes] = []
        self.sockets: list[socket.socket] = []
        self.silent, broker = silent, self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                broker.sockets.append(self.request)
                try:
                    while broker.answer(self, code):
                        pass
                except (OSError, IndexError):
                    pass  # the client has gone

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = self.server.daemon_threads = True
        self.server.server_bind()
        self.server.server_activate()
        self.port: int = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01])
        self.thread.start()

    def answer(self, handler: socketserver.StreamRequestHandler, code: int) -> bool:
        """Read one packet and answer it; return whether more may come."""
        first = handler.rfile.read(1)[0]
        length = shift = 0
        while True:
            digit = handler.rfile.read(1)[0]
            length, shift = length | (digit & 127) << shift, shift + 7
            if digit < 128:
                break
        body, kind = handler.rfile.read(length), first >> 4
        if kind == CONNECT:
            self.logins.append(body)
            handler.wfile.write(bytes([0x20, 2, 0, code]))
            return code == 0
        if kind == PUBLISH:
            end = 2 + int.from_bytes(body[:2])
            if self.silent:
                self.silent -= 1
                return self.silent > 0
            self.messages.append((body[2:end].decode(), body[end + 2 :], bool(first & 1)))
            assert first >> 1 & 3 == 1, "QoS 1"
            handler.wfile.write(b"\x40\x02" + body[end : end + 2])
        elif kind == PINGREQ:
            handler.wfile.write(b"\xd0\x00")
        return kind != DISCONNECT

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """What is closed at the end."""
    things: list[Any] = []
    yield things
    for each in reversed(things):
        each.close()


@pytest.fixture
def broker_of(made: list[Any]) -> Callable[..., Broker]:
    def make(**options: int) -> Broker:
        made.append(broker := Broker(**options))
        return broker

    return make


@pytest.fixture
def mqtt_of(made: list[Any]) -> Callable[..., MqttPublisher]:
    def make(url: str, **options: Any) -> MqttPublisher:
        publisher = MqttPublisher(url, "line3", **options)
        made.append(Closing(publisher))
        return publisher

    return make


class Closing:
    def __init__(self, publisher: MqttPublisher) -> None:
        self.close = lambda: publisher.close(0.1)


def post(publisher: MqttPublisher, *numbers: int) -> None:
    for number in numbers:
        publisher.post({"id": str(number), "verdict": "FAIL"})


def ids(broker: Broker) -> list[str]:
    return [json.loads(body)["id"] for topic, body, _ in broker.messages if topic == RESULTS]


def test_results_are_published_in_their_order_and_counted_when_acknowledged(
    broker_of: Any, mqtt_of: Any
) -> None:
    broker = broker_of()
    publisher = mqtt_of(f"mqtt://127.0.0.1:{broker.port}")
    post(publisher, *range(100))
    until(lambda: publisher.status()["sent"] == 100)
    assert ids(broker) == [str(n) for n in range(100)]
    assert publisher.status() == {"sent": 100, "failed": 0, "dropped": 0, "waiting": 0}
    assert publisher.trouble is None


def test_the_station_says_that_it_is_there_and_that_it_goes(broker_of: Any, mqtt_of: Any) -> None:
    broker = broker_of()
    publisher = mqtt_of(f"mqtt://127.0.0.1:{broker.port}")
    until(lambda: broker.messages)
    assert ONLINE.encode() in broker.logins[0]  # the will, which the broker publishes if the station dies
    publisher.close(1)
    assert broker.messages == [(ONLINE, b"true", True), (ONLINE, b"false", True)]


def test_only_the_wanted_verdicts_are_published(broker_of: Any, mqtt_of: Any) -> None:
    broker = broker_of()
    publisher = mqtt_of(f"mqtt://127.0.0.1:{broker.port}", only=("REVIEW",))
    publisher.post({"id": "1", "verdict": "PASS"})
    publisher.post({"id": "2", "verdict": "REVIEW"})
    until(lambda: publisher.status()["sent"] == 1)
    assert ids(broker) == ["2"]


def test_what_a_broker_has_not_acknowledged_is_sent_again(broker_of: Any, mqtt_of: Any) -> None:
    broker = broker_of(silent=3)  # takes "true" and two results, and hangs up
    publisher = mqtt_of(f"mqtt://127.0.0.1:{broker.port}")
    until(lambda: broker.silent < 3)
    post(publisher, *range(30))
    until(lambda: publisher.status()["sent"] == 30)
    assert set(ids(broker)) == {str(n) for n in range(30)}


def test_a_broker_that_is_away_gets_the_newest_results_when_it_is_back(broker_of: Any, mqtt_of: Any) -> None:
    port = free_port()
    publisher = mqtt_of(f"mqtt://127.0.0.1:{port}", limit=50)
    until(lambda: publisher.trouble)
    assert publisher.trouble == (
        f"the MQTT broker 127.0.0.1:{port} cannot be reached; results wait and are published later"
    )
    post(publisher, *range(1000))
    assert publisher.status()["waiting"] == 50
    assert publisher.status()["dropped"] == 950
    broker = broker_of(port=port)
    until(lambda: publisher.status()["sent"] == 50)
    assert ids(broker)[-30:] == [str(n) for n in range(970, 1000)]
    until(lambda: publisher.trouble is None)


def test_a_refused_login_is_said_without_the_password(broker_of: Any, mqtt_of: Any) -> None:
    broker = broker_of(code=5)
    publisher = mqtt_of(f"mqtt://line:s%40cret@127.0.0.1:{broker.port}")
    until(lambda: "refuses the station" in (publisher.trouble or ""))
    time.sleep(0.1)  # the end of the connection comes after it
    assert "refuses the station" in (publisher.trouble or "")
    assert b"s@cret" in broker.logins[0]
    assert "cret" not in (publisher.trouble or "")


def test_closing_publishes_what_waits_and_does_not_wait_for_a_broker_that_is_away(
    broker_of: Any, mqtt_of: Any
) -> None:
    broker = broker_of()
    publisher = mqtt_of(f"mqtt://127.0.0.1:{broker.port}")
    post(publisher, *range(30))
    publisher.close(10)
    assert len(ids(broker)) == 30
    absent = mqtt_of(f"mqtt://127.0.0.1:{free_port()}")
    post(absent, 1)
    began = time.monotonic()
    absent.close(0.2)
    assert time.monotonic() - began < 5
    assert absent.status() == {"sent": 0, "failed": 0, "dropped": 1, "waiting": 0}


@pytest.mark.parametrize(
    "url", ["", "host", "http://host", "mqtt://", "mqtt://host:x", "mqtt://host/topic", "mqtt://[::1"]
)
def test_a_url_that_is_no_brokers_is_refused_at_once(url: str) -> None:
    with pytest.raises(InputError, match="must look like mqtt://host:1883"):
        MqttPublisher(url, "line3")


@pytest.mark.parametrize("name", ["", "a/b", "#", "line+"])
def test_a_station_whose_name_would_change_the_topic_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot be part of an MQTT topic"):
        MqttPublisher("mqtt://127.0.0.1", name)


def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(InputError, match=r"pip install 'understudy\[mqtt\]'"):
        MqttPublisher("mqtt://127.0.0.1", "line3")
