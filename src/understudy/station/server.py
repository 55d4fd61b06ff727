"""Runs a station: its model, its app on a port, and what feeds it or listens to it."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from understudy.errors import InputError, WorkError
from understudy.station.app import guarded, make_app
from understudy.station.config import StationOptions, is_loopback
from understudy.station.intake import Incoming
from understudy.station.mqtt import MqttPublisher
from understudy.station.station import Station
from understudy.station.telemetry import log_event
from understudy.station.tokens import Tokens
from understudy.station.versions import Opener
from understudy.station.watch import FolderWatch
from understudy.station.webhook import Webhook

__all__ = ["Running", "running"]

_LOG = logging.getLogger("understudy.station")
_MOST_CONNECTIONS = 400  # well below the files that a process may open
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Running:
    """A station that is ready to serve.

    Attributes:
        station: the station.
        server: answers calls; ``run`` blocks until it is told to stop.
        socket: the open port.
        url: address of the page.
    """

    station: Station
    server: uvicorn.Server
    socket: socket.socket
    url: str

    def run(self) -> None:
        """Serve until a signal or ``server.should_exit`` ends it; calls that have begun are answered."""
        with _quiet_signals():
            self.server.run(sockets=[self.socket])


@contextmanager
def running(options: StationOptions, opener: Opener, model: Path | None) -> Iterator[Running]:
    """Open a station with all its parts, and close it at the end.

    Args:
        options: options of the station.
        opener: opens the folder of a model.
        model: folder of the model; ``None`` takes the one that was in force before.

    Raises:
        InputError: an option cannot be used; or the station would be reached from other machines and has no
            token.
        WorkError: the port is taken.
    """
    tokens = Tokens(options.folder)
    if not is_loopback(options.host) and not tokens.all():
        raise InputError(
            f"other machines can reach {options.host}, so a token is needed; make one first: understudy "
            f"station token {options.folder} --name line --scope inspect"
        )
    with ExitStack() as stack:
        port = stack.enter_context(_bound(options.host, options.port))
        station = Station(options, opener)
        stack.callback(station.close)
        station.control.start(model)
        station.look_after()
        if options.webhook:
            station.add_sink("webhook", Webhook(options.webhook, only=options.webhook_only))
        if options.mqtt:
            station.add_sink("mqtt", MqttPublisher(options.mqtt, options.station))
        app = make_app(station, tokens)
        if options.watch:
            watch = FolderWatch(
                options.watch,
                lambda name, data, client_id: _watched(station, name, data, client_id),
                options.folder / "watched.txt",
                most_bytes=options.limits.picture_bytes,
            )
            station.add_part("watch", watch)
            stack.callback(watch.close)
            watch.start()
        config = uvicorn.Config(
            guarded(app, (*_THIS_MACHINE, options.host)),
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=20,
            limit_concurrency=_MOST_CONNECTIONS,
        )
        host, number = options.host, port.getsockname()[1]
        url = f"http://{f'[{host}]' if ':' in host else host}:{number}/"
        server = uvicorn.Server(config)
        app.state.connections = server.server_state.connections
        yield Running(station, server, port, url)


def _watched(station: Station, name: str, data: bytes, client_id: str) -> bool:
    """Inspect a picture of the watched folder; return whether it is done with."""
    (outcome,) = station.intake.inspect([Incoming(name, data)], client_id=client_id)
    if outcome.error:
        log_event(_LOG, "picture not judged", name=name, why=outcome.error)
    return outcome.stored or outcome.error is not None


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Let a signal that stopped the server end there: uvicorn raises it once more when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: None) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """Bind a port before the model is loaded, so that a port that is taken is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP, so that asyncio sends the parts of an answer at once (TCP_NODELAY).
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host.strip("[]"), port))
        except OSError as error:
            raise WorkError(
                f"port {port} of {host} cannot be opened: {error.strerror or error}; choose another --port"
            ) from error
        yield bound
    finally:
        bound.close()
