"""Results are posted to a server of the plant, with retries, from a bounded queue."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from understudy.errors import InputError
from understudy.station.outbox import Message, Outbox, OutboxSink

__all__ = ["Webhook"]

_NOT_THERE = {429, 502, 503, 504}  # what a proxy says for a server that is away, and "later"
_AGAIN = {408, 425}  # besides all other 5xx
_LONGEST_PAUSE = 60.0  # seconds


class _AbsentError(Exception):
    """The server cannot be reached at all."""


class Webhook(OutboxSink):
    """Posts each result as JSON to a URL.

    A server that cannot be reached, or that says 429, 502, 503 or 504, is tried until it is there again; the
    queue drops its oldest results meanwhile. A server that fails on a result, or is too slow, is tried
    ``tries`` times. Any other answer, a redirect too, gives the result up. Results are sent in their order,
    one at a time, and at least once: the header ``Idempotency-Key`` holds the result's id.

    Args:
        url: where to post, ``http`` or ``https``; user and password in it are sent as basic authentication.
        only: verdicts that are posted, ``None`` among them for results without one; empty stands for all.
        limit: number of results that wait at most.
        timeout: seconds for a whole post.
        tries: number of posts of a result on which the server fails.
        pause: seconds before the second try; doubled each time, up to a minute.

    Raises:
        InputError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        only: Collection[str | None] = (),
        limit: int = 1000,
        timeout: float = 5.0,
        tries: int = 8,
        pause: float = 0.5,
    ) -> None:
        self._target = _Target(url)
        self._timeout, self._tries, self._pause = timeout, tries, pause
        super().__init__(Outbox(limit, only))
        self._thread = threading.Thread(target=self._run, name="understudy-webhook", daemon=True)
        self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Post what waits, but not longer than ``seconds``; what is left then counts as dropped."""
        self._outbox.close(seconds)
        self._thread.join(0.5)

    def _run(self) -> None:
        while (message := self._outbox.take()) is not None:
            self._deliver(message)

    def _deliver(self, message: Message) -> None:
        pause, tried = self._pause, 0
        while not self._outbox.closed.is_set():
            try:
                status, wait = self._send(message)
            except _AbsentError as error:
                why, wait = f"cannot be reached: {error}", 0.0
            except Exception as error:  # a server may answer anything; the next result is posted all the same
                why, tried = f"did not answer: {error}", tried + 1
                wait = 0.0
            else:
                if 200 <= status < 300:
                    self._outbox.settle("sent")
                    return
                why = f"answered {status}"
                if status not in _NOT_THERE:
                    tried += 1
                    if status < 500 and status not in _AGAIN:
                        tried = self._tries
            why = f"the webhook's server {self._target.shown} {why}"
            if tried >= self._tries:
                self._outbox.settle("failed", f"{why}; a result was given up")
                return
            self._outbox.trouble = f"{why}; results wait and are posted again"
            self._outbox.pause(min(max(wait, pause * random.uniform(0.5, 1.0)), _LONGEST_PAUSE))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, message: Message) -> tuple[int, float]:
        """Post once; return the status and the seconds that the server asks to wait."""
        connection = self._target.connection(self._timeout)
        late = threading.Event()
        cut = threading.Timer(self._timeout, _cut, [connection, late])  # a server that answers byte by byte
        cut.daemon = True
        cut.start()
        try:
            try:
                connection.connect()
            except OSError as error:
                raise _AbsentError(error.strerror or str(error)) from error
            headers = {"Idempotency-Key": message.id} if message.id else {}
            connection.request("POST", self._target.path, message.body, {**self._target.headers, **headers})
            answer = connection.getresponse()
            if late.is_set():  # headers that were cut off look whole
                raise TimeoutError
            asked = answer.getheader("Retry-After", "")
            return answer.status, float(asked) if asked.isdecimal() else 0.0
        except (OSError, http.client.HTTPException) as error:
            slow = isinstance(error, TimeoutError) or late.is_set()
            raise OSError(f"{self._timeout:g} s went by" if slow else type(error).__name__) from error
        finally:
            cut.cancel()
            connection.close()


class _Target:
    """A URL, taken apart.

    Attributes:
        shown: scheme, host and port. The rest may be secret.
        path: path and query.
        headers: headers of every post.
    """

    def __init__(self, url: str) -> None:
        rule = InputError("the webhook's URL must look like https://host:port/path, in ASCII characters")
        try:
            parts = urlsplit(url)
            self._port, self._host = parts.port, parts.hostname or ""
        except ValueError as error:
            raise rule from error
        if not self._host or parts.scheme not in ("http", "https") or not url.isascii() or " " in url:
            raise rule
        self.shown = f"{parts.scheme}://{self._host}" + (f":{self._port}" if self._port else "")
        self.path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.headers = {"Content-Type": "application/json", "User-Agent": "understudy", "Connection": "close"}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        self._trusted = ssl.create_default_context() if parts.scheme == "https" else None

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        """Return a new connection, which is not open yet."""
        if self._trusted is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._trusted)


def _cut(connection: http.client.HTTPConnection, late: threading.Event) -> None:
    """End a connection from another thread."""
    late.set()
    with suppress(OSError, AttributeError):
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
