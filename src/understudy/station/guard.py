"""What every call passes: limits on size and number, the token, where it comes from, and safe headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from understudy.errors import InputError
from understudy.station.config import CallLimits
from understudy.station.tokens import SCOPES, Scope, Token, Tokens

__all__ = ["SOON", "Caller", "Guard", "RefusedError"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_SAFE = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
SOON = {"Retry-After": "1"}
"""Header of a 503: when to try again."""
_SMALL = 2**20  # bytes of a call without pictures
_NO_TOKEN_NEEDED = ("/v2/health/live", "/v2/health/ready", "/")
"""Paths that say nothing about pictures, besides the page's files: probes, and the page without its data."""


class RefusedError(Exception):
    """A call that is not answered, with the status of HTTP and a sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True)
class Caller:
    """Who calls, and what they may do.

    Attributes:
        name: name of the token; ``None`` on a station without tokens.
        scopes: what the caller may do.
    """

    name: str | None
    scopes: tuple[Scope, ...]

    def require(self, scope: Scope) -> None:
        """Check that the caller has a scope.

        Raises:
            RefusedError: the caller has not.
        """
        if scope not in self.scopes:
            raise RefusedError(
                403, f"this token has no scope {scope!r}; ask for one with understudy station token"
            )


class Guard:
    """Middleware around the station's app.

    A station without tokens answers this machine only: then a call must name this machine as its host, so
    that no page of another site can reach it through a browser. Calls that send pictures are counted; one too
    many gets 503 before its body is read.

    Args:
        app: the app.
        tokens: tokens of the station.
        limits: what a call may ask for.
        hosts: names of this machine that a call may have as its host while there are no tokens; empty if
            other machines can reach the station, which then answers nobody without a token.
        expect: is told how many more calls with pictures are on their way.
    """

    def __init__(
        self,
        app: _App,
        tokens: Tokens,
        limits: CallLimits,
        hosts: Iterable[str],
        expect: Callable[[int], None],
    ) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits
        self._hosts = frozenset(hosts)
        self._expect = expect
        self.in_flight = 0
        self.bytes_in_flight = 0

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safely(message: _Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _SAFE.items():
                    headers.setdefault(name, value)
            await send(message)

        begun = False

        async def noting(message: _Message) -> None:
            nonlocal begun
            begun = True
            await safely(message)

        try:
            scope.setdefault("state", {})["caller"] = self._caller(scope)
            counted = _sends_pictures(scope)
            if counted:
                self._admit()
            body = _Body()
            try:
                await self._app(scope, self._limited(scope, receive, counted, body), noting)
            finally:
                self.bytes_in_flight -= body.received
                if counted:
                    self.in_flight -= 1
                if body.is_expected:
                    self._expect(-1)
        except RefusedError as refused:
            if not begun:
                await _refuse(safely, refused)

    def _admit(self) -> None:
        if self.in_flight >= self._limits.calls:
            raise RefusedError(
                503,
                f"{self._limits.calls} calls are being answered, the most at once; try again in a second",
                SOON,
            )
        self.in_flight += 1

    def _caller(self, scope: _Message) -> Caller:
        headers = Headers(scope=scope)
        try:
            tokens = self._tokens.all()
        except InputError:
            raise RefusedError(
                500, "the file of the station's tokens is damaged; the station's log has more"
            ) from None
        if not tokens and self._hosts:
            self._require_this_machine(headers)
            return Caller(None, SCOPES)
        if scope["path"] in _NO_TOKEN_NEEDED or scope["path"].startswith("/page/"):
            return Caller(None, ())
        kind, _, secret = headers.get("authorization", "").partition(" ")
        token = self._tokens.find(secret.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise RefusedError(
                401, "a token is needed: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"}
            )
        return Caller(token.name, _scopes(token))

    def _require_this_machine(self, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _without_port(host) not in self._hosts:
            raise RefusedError(
                403, "a station without tokens answers calls to this machine's own address only"
            )
        foreign = origin not in (None, f"http://{host}", f"https://{host}")
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            raise RefusedError(403, "a station without tokens answers no page of another site")

    def _limited(self, scope: _Message, receive: _Receive, counted: bool, body: _Body) -> _Receive:
        """Return a ``receive`` that refuses a body that is too large or too slow."""
        length = Headers(scope=scope).get("content-length", "0")
        most = self._limits.call_bytes if counted else _SMALL
        if length.isdecimal() and int(length) > most:
            raise _too_large(most)
        until = asyncio.get_running_loop().time() + self._limits.seconds
        if counted:
            body.is_expected = True
            self._expect(1)

        async def limited() -> _Message:
            if body.is_whole:
                return await receive()  # waits for the client to go away
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise RefusedError(408, "the call took too long to arrive; send fewer pictures") from None
            n = len(message.get("body", b""))
            body.received += n
            self.bytes_in_flight += n
            body.is_whole = message["type"] != "http.request" or not message.get("more_body")
            if body.is_whole and body.is_expected:
                body.is_expected = False
                self._expect(-1)
            if body.received > most:
                raise _too_large(most)
            if self.bytes_in_flight > self._limits.bytes_in_flight:
                raise RefusedError(503, "the calls at this moment are too large together; try again", SOON)
            return message

        return limited


@dataclass
class _Body:
    """What has come of the body of a call."""

    received: int = 0
    is_whole: bool = False
    is_expected: bool = False


def _sends_pictures(scope: _Message) -> bool:
    path: str = scope["path"]
    is_call: bool = scope["method"] == "POST"
    return is_call and (path == "/inspect" or path.endswith("/infer"))


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        413, f"the call has more than {most} bytes, the most of one call; send fewer pictures"
    )


def _scopes(token: Token) -> tuple[Scope, ...]:
    return tuple(scope for scope in SCOPES if token.may(scope))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()


async def _refuse(send: _Send, refused: RefusedError) -> None:
    body = json.dumps({"error": str(refused)}, ensure_ascii=False).encode()
    headers = {"content-type": "application/json", "connection": "close", **refused.headers}
    raw = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
