"""Results are published to an MQTT broker of the plant, from a bounded queue."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from understudy.errors import InputError, extra_needed
from understudy.station.outbox import Outbox, OutboxSink

if TYPE_CHECKING:
    from paho.mqtt.client import Client

__all__ = ["MqttPublisher"]

_FLYING = 20  # messages that wait for the broker's word at a time
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_GLANCE = 0.02  # seconds between two looks at the broker's words while messages may still come


class MqttPublisher(OutboxSink):
    """Publishes each result as JSON, at least once (QoS 1).

    Results go to the topic ``understudy/STATION/results``. The retained topic ``understudy/STATION/online``
    says ``true`` while the station is connected; the broker makes it ``false`` if the station goes away.

    Args:
        url: the broker: ``mqtt://host:1883``, or ``mqtts://host:8883`` with TLS; a user and a password in it
            are sent to the broker.
        station: name of the station.
        only: verdicts that are published, ``None`` among them for results without one; empty stands for all.
        limit: number of results that wait at most.
        pause: seconds before the second try to connect, at least 1; doubled each time, up to a minute.

    Raises:
        InputError: the URL or the name cannot be used, or the extra ``mqtt`` is not installed.
    """

    def __init__(
        self,
        url: str,
        station: str,
        *,
        only: Collection[str | None] = (),
        limit: int = 1000,
        pause: int = 1,
    ) -> None:
        if not station or set(station) & set("+#/\0"):
            raise InputError(
                f"the station's name {station!r} cannot be part of an MQTT topic: leave out + # /"
            )
        self.topic = f"understudy/{station}/results"
        self._online = f"understudy/{station}/online"
        super().__init__(Outbox(limit, only))
        self._words: SimpleQueue[int] = SimpleQueue()
        self._client = self._connecting(url, pause)
        self._thread = threading.Thread(target=self._run, name="understudy-mqtt", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Publish what waits, but not longer than ``seconds``; what is left then counts as dropped."""
        self._outbox.close(seconds)
        self._thread.join(1.0)
        if self._client.is_connected():
            with suppress(RuntimeError, ValueError):
                self._client.publish(self._online, "false", qos=1, retain=True).wait_for_publish(1.0)
        self._client.disconnect()
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)  # may wait for the network
        stopping.start()
        stopping.join(2.0)

    def _connecting(self, url: str, pause: int) -> Client:
        """Return a client whose own thread connects, and connects again."""
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise extra_needed("mqtt", "MQTT") from error
        scheme, host, port, user, password = _taken_apart(url)
        shown = f"the MQTT broker {host}:{port}"
        client = Client(CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(pause, 60)
        client.will_set(self._online, "false", qos=1, retain=True)
        if user is not None:
            client.username_pw_set(user, password)
        if scheme == "mqtts":
            client.tls_set()

        def on_connect(client: Client, data: Any, flags: Any, code: Any, properties: Any) -> None:
            if code.is_failure:
                self._outbox.trouble = f"{shown} refuses the station: {code}"
                return
            self._outbox.trouble = None
            client.publish(self._online, "true", qos=1, retain=True)

        def on_absent(client: Client, *args: Any) -> None:
            trouble = self._outbox.trouble or ""
            if "refuses" not in trouble or not args[1:]:  # a refusal ends the connection too
                self._outbox.trouble = f"{shown} cannot be reached; results wait and are published later"

        def on_publish(client: Client, data: Any, number: int, code: Any, properties: Any) -> None:
            self._words.put(number)

        client.on_connect, client.on_publish = on_connect, on_publish
        client.on_connect_fail = on_absent
        client.on_disconnect = on_absent
        client.connect_async(host, port, keepalive=30)
        client.loop_start()
        return client

    def _run(self) -> None:
        flying: set[int] = set()
        while not self._outbox.closed.is_set():
            self._count(flying, wait=len(flying) >= _FLYING)
            if len(flying) >= _FLYING:
                continue
            message = self._outbox.take(_GLANCE if flying else None)
            if message is not None:
                # The client keeps it, and sends it after each new connection, until it is acknowledged.
                flying.add(self._client.publish(self.topic, message.body, qos=1).mid)

    def _count(self, flying: set[int], wait: bool) -> None:
        """Settle the messages that the broker has acknowledged; wait for the first if ``wait`` is true."""
        with suppress(Empty):
            while True:
                number = self._words.get(block=wait, timeout=0.2)
                wait = False
                if number in flying:
                    flying.remove(number)
                    self._outbox.settle("sent")


def _taken_apart(url: str) -> tuple[str, str, int, str | None, str | None]:
    """Return scheme, host, port, user and password of a broker's URL."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host = None, None
    if not host or parts.scheme not in _PORTS or parts.path not in ("", "/") or parts.query:
        raise InputError("the MQTT broker's URL must look like mqtt://host:1883 or mqtts://host:8883")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return parts.scheme, host, port or _PORTS[parts.scheme], user, password
