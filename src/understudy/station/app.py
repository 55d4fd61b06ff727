"""The station over HTTP: one app of all routes, behind the guard."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from understudy.errors import InputError, UnderstudyError
from understudy.station import routes_api, routes_inspect, routes_protocol
from understudy.station.archive import StoreError
from understudy.station.config import is_loopback
from understudy.station.engine import BusyError
from understudy.station.guard import SOON, Guard, RefusedError
from understudy.station.intake import ConflictError
from understudy.station.station import Station
from understudy.station.tokens import Tokens

__all__ = ["guarded", "make_app"]

_EVERY = 5.0  # seconds
_SILENT_ROUNDS = 2
PAGE = Path(__file__).parent / "page"
_LOG = logging.getLogger("understudy.station")
_Value = TypeVar("_Value")
_STATUS: tuple[tuple[type[UnderstudyError], int], ...] = (
    (BusyError, 503),
    (ConflictError, 409),
    (StoreError, 503),
    (InputError, 422),
)


class Threads:
    """Runs blocking work away from the event loop; work of one kind does not wait for another kind.

    Args:
        calls: most calls with pictures at the same time.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._limiters: dict[str, CapacityLimiter] = {}

    async def run(self, kind: str, work: Callable[..., _Value], *given: Any, **named: Any) -> _Value:
        """Run ``work`` in a thread and return its value; ``kind`` shares a number of threads."""
        if kind not in self._limiters:
            self._limiters[kind] = CapacityLimiter({"inspect": self._calls, "page": 8}.get(kind, 1))
        return await to_thread.run_sync(partial(work, *given, **named), limiter=self._limiters[kind])


def make_app(station: Station, tokens: Tokens) -> FastAPI:
    """Make the app of a station; :func:`guarded` puts the guard before it."""
    app = FastAPI(
        title="Understudy station",
        version=version("understudy"),
        description="Inspects pictures of products, keeps every inspection, and lets people review.",
        docs_url=None,  # FastAPI's own page loads scripts from a network
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.station, app.state.tokens = station, tokens
    app.state.connections = set()  # of the server, once there is one
    app.state.threads = Threads(station.options.limits.calls)
    for routes in (routes_inspect, routes_protocol, routes_api):
        app.include_router(routes.router)
    for kind, answer in (
        (UnderstudyError, _known_error),
        (RefusedError, _refused),
        (RequestValidationError, _no_such_call),
        (HTTPException, _no_such_path),
        (Exception, _unknown_error),
    ):
        app.add_exception_handler(kind, answer)
    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/page/{name:path}", _page, include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> Any:
    """Look after the station while the app runs, and after connections that never ask for anything."""

    async def look_after() -> None:
        silent: dict[Any, int] = {}
        while True:
            await asyncio.sleep(_EVERY)
            silent = _end_silent(app.state.connections, silent)
            try:
                await app.state.threads.run("look after", app.state.station.look_after)
            except Exception:  # the next time may go well
                _LOG.exception("looking after the station failed")

    task = asyncio.create_task(look_after())
    yield
    task.cancel()


def _end_silent(connections: Iterable[Any], silent: Mapping[Any, int]) -> dict[Any, int]:
    """Close connections that have been silent for some rounds, since they would use up the open files.

    Args:
        connections: uvicorn's open connections; one without a cycle has not sent the head of a call.
        silent: how many rounds each has been silent.
    """
    found = {each: silent.get(each, 0) + 1 for each in connections if getattr(each, "cycle", True) is None}
    for each, rounds in list(found.items()):
        if rounds > _SILENT_ROUNDS:
            each.transport.abort()
            del found[each]
    return found


def guarded(app: FastAPI, hosts: Iterable[str]) -> Guard:
    """Put the guard before an app."""
    station: Station = app.state.station
    options = station.options
    guard = Guard(
        app,
        app.state.tokens,
        options.limits,
        hosts if is_loopback(options.host) else (),
        station.engine.expect,
    )
    station.telemetry.gauge(
        "in_flight", "Calls with pictures that are being answered.", lambda: guard.in_flight
    )
    return guard


async def _page(name: str = "index.html") -> Response:
    """Send a file of the page."""
    path = PAGE / Path(name).name
    if not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, headers={"Cache-Control": "no-cache"})


async def _known_error(request: Request, error: Exception) -> Response:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return _sentence(status, str(error), SOON if status == 503 else {})
    return _failed(error)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _sentence(error.status, str(error), error.headers)


async def _no_such_call(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"] if part != "body")
    return _sentence(422, f"{place or 'the call'}: {fault['msg']}")


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing here", 405: "this path does not take that method"}
    known = error.detail if error.detail not in ("Not Found", "Method Not Allowed") else None
    return _sentence(error.status_code, known or said.get(error.status_code, str(error.detail)))


async def _unknown_error(request: Request, error: Exception) -> Response:
    return _failed(error)


def _failed(error: Exception) -> Response:
    """Answer a fault of the station; the reason stands in its log alone, since it may hold paths."""
    number = uuid.uuid4().hex[:8]
    _LOG.error("failed %s", number, exc_info=error)
    return _sentence(500, f"the station failed; its log has the reason under {number}")


def _sentence(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)
