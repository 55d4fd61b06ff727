"""``/api``: what the page shows and changes. Times are ISO 8601 in UTC; errors are one sentence."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from understudy.station import status
from understudy.station.archive import Query as Search
from understudy.station.archive import Row
from understudy.station.chosen import Chosen, in_force, require_product, what_if
from understudy.station.guard import Caller
from understudy.station.inspection import Answer, InspectionRecord, Mark, Review
from understudy.station.preview import as_shown
from understudy.station.reviewed import export_reviewed, weeks
from understudy.station.station import EXPORTS, Station
from understudy.types import Verdict

__all__ = ["router"]

router = APIRouter(prefix="/api")

MOST_ROWS = 500
_FOR_AN_HOUR = {"Cache-Control": "private, max-age=3600"}
_Limit = Annotated[int, Query(ge=1, le=MOST_ROWS)]
_Width = Annotated[int | None, Query(ge=16, le=4096)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Who(_Body):
    who: str = Field(default="", max_length=100)


class _ReviewBody(_Who):
    answer: Answer
    note: str = Field(default="", max_length=2000)
    marks: tuple[Mark, ...] = Field(default=(), max_length=100)


class _ResetBody(_Who):
    product: str | None = None


class _ThresholdsBody(Chosen):
    who: str = Field(default="", max_length=100)

    @property
    def chosen(self) -> Chosen:
        return Chosen(product=self.product, review_above=self.review_above, fail_above=self.fail_above)


class _WhatIfBody(_ThresholdsBody):
    days: float = Field(default=7, gt=0, le=3660)


class _RollBackBody(_Who):
    version: int | None = None


class _ModelBody(_Who):
    folder: str = Field(min_length=1, max_length=4096)
    force: bool = False


def _station(request: Request, scope: Any) -> Station:
    caller: Caller = request.state.caller
    caller.require(scope)
    station: Station = request.app.state.station
    return station


async def _in_thread(request: Request, work: Any, *given: Any, **named: Any) -> Any:
    return await request.app.state.threads.run("page", work, *given, **named)


def _who(request: Request, said: str) -> str:
    """Return who makes a change: the person's name, with the token's name if there is one."""
    token = request.state.caller.name
    if token is None:
        return said.strip() or "somebody at this machine"
    tail = f"token {token}"
    return f"{said.strip()[: 98 - len(tail)]}, {tail}" if said.strip() else tail


@router.get("/state")
async def state(request: Request) -> dict[str, Any]:
    """State of the station: what it is, whether all is well, and what it did today."""
    station = _station(request, "review")
    found = await _in_thread(request, status.state, station)
    caller: Caller = request.state.caller
    return {**found, "scopes": list(caller.scopes), "who": caller.name}


@router.get("/inspections")
async def inspections(
    request: Request,
    limit: _Limit = 50,
    before: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
    verdict: Annotated[list[Verdict] | None, Query()] = None,
    product: str | None = None,
    job: str | None = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    answered: bool | None = None,
    at: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, Any]:
    """Kept inspections, the newest first; ``at`` names another station of the same database, ``*`` all."""
    station = _station(request, "review")
    query = Search(
        station=None if at == "*" else at or station.options.station,
        verdicts=tuple(verdict or ()),
        product=product or None,
        job=job or None,
        text=text or None,
        since=_utc(since),
        until=_utc(until),
        answered=answered,
        before=before,
    )
    page = await _in_thread(request, station.store.search, query, limit)
    return {"rows": [_row(row, station) for row in page.rows], "next": page.next}


@router.get("/inspections/{id}")
async def inspection(request: Request, id: str) -> dict[str, Any]:
    """One inspection, with all answers to it."""
    station = _station(request, "review")
    found = await _found(request, station, id)
    reviews = await _in_thread(request, station.store.reviews, id)
    return {
        "inspection": found.model_dump(mode="json"),
        "recent": id in station.recent,
        "reviews": [review.model_dump(mode="json") for review in reviews],
    }


@router.get("/inspections/{id}/picture")
async def picture(request: Request, id: str, width: _Width = None) -> Response:
    """The picture, as it came or as a browser can show it; ``width`` makes it smaller."""
    station = _station(request, "review")
    found = await _found(request, station, id)
    depth = station.versions.current.inspector.manifest.preprocess.depth

    def read() -> tuple[bytes, str]:
        data = station.recent.picture(id) or _kept(station, found.picture)
        return as_shown(data, depth, width)

    data, kind = await _in_thread(request, read)
    _require(data)
    return Response(data, media_type=kind, headers=_FOR_AN_HOUR)


@router.get("/inspections/{id}/heatmap")
async def heatmap(request: Request, id: str, width: _Width = None) -> Response:
    """The anomaly map in colour with transparency, to be laid over the picture."""
    station = _station(request, "review")
    found = await _found(request, station, id)

    def read() -> bytes:
        return station.recent.heatmap(id) or _kept(station, found.heatmap)

    data = await _in_thread(request, read)
    _require(data)
    return Response(data, media_type="image/png", headers=_FOR_AN_HOUR)


@router.get("/waiting")
async def waiting(request: Request, limit: _Limit = 50) -> dict[str, Any]:
    """REVIEW and FAIL that nobody has answered, the oldest first."""
    station = _station(request, "review")
    rows = await _in_thread(request, station.store.waiting, station.options.station, limit)
    n = await _in_thread(request, station.store.count_waiting, station.options.station)
    return {"rows": [_row(row, station) for row in rows], "waiting": n}


@router.post("/inspections/{id}/reviews")
async def review(request: Request, id: str, body: _ReviewBody) -> dict[str, Any]:
    """Answer an inspection: good or defective. Earlier answers stay."""
    station = _station(request, "review")
    found = await _found(request, station, id)
    who = _who(request, body.who)
    given = Review(
        inspection=id,
        time=datetime.now(UTC),
        who=who,
        answer=body.answer,
        marks=tuple(_within(mark, found) for mark in body.marks),
        note=body.note,
    )
    await _in_thread(request, station.store.add_review, given)
    await _in_thread(request, station.control.log, who, "review", {"inspection": id, "answer": body.answer})
    return given.model_dump(mode="json")


@router.get("/weeks")
async def real_life(request: Request) -> dict[str, Any]:
    """What was found, missed and wrongly failed, by week, as far as people have looked."""
    station = _station(request, "review")
    found = await _in_thread(request, weeks, station.store, station=station.options.station)
    return {"weeks": [status.plain(week) for week in found]}


@router.get("/reviewed.zip")
async def reviewed(request: Request) -> Response:
    """The answered pictures as a data set, which ``understudy data`` and ``calibrate`` read."""
    station = _station(request, "review")
    folder = Path(tempfile.mkdtemp(prefix=EXPORTS, dir=station.options.folder))
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    try:
        path = await request.app.state.threads.run("export", _archive, station, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(path, media_type="application/zip", filename="reviewed.zip", background=done)


def _archive(station: Station, folder: Path) -> str:
    """Write the reviewed pictures into an archive; return its name."""
    export_reviewed(station.store, station.keeper, folder / "reviewed")
    written = [path for path in sorted((folder / "reviewed").rglob("*")) if path.is_file()]
    with zipfile.ZipFile(folder / "reviewed.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in written:
            archive.write(path, path.relative_to(folder))
            path.unlink()  # so that the disk never holds all of them twice more
    return str(folder / "reviewed.zip")


@router.get("/drift")
async def drift(request: Request) -> dict[str, Any]:
    """How strongly each figure of each product speaks against the calibration's pictures."""
    station = _station(request, "review")
    monitor = station.control.drift
    streams = monitor.status() if monitor else []
    return {"budget": station.options.drift_budget, "streams": [status.plain(each) for each in streams]}


@router.post("/drift/reset")
async def reset_drift(request: Request, body: _ResetBody) -> dict[str, Any]:
    """Begin to watch anew, after the cause of an alarm was mended."""
    station = _station(request, "admin")
    await _in_thread(request, station.control.reset_drift, body.product, _who(request, body.who))
    return {"ok": True}


@router.get("/thresholds")
async def thresholds(request: Request) -> dict[str, Any]:
    """Thresholds in force, product by product."""
    inspector = _station(request, "review").versions.current.inspector
    calibration = inspector.calibration
    return {"products": in_force(calibration, inspector.categories) if calibration else []}


@router.post("/thresholds/what-if")
async def try_thresholds(request: Request, body: _WhatIfBody) -> dict[str, Any]:
    """Say what other thresholds would have done to the kept history."""
    station = _station(request, "review")
    inspector = station.versions.current.inspector
    calibration = require_product(inspector.calibration, inspector.categories, body.chosen)
    since = datetime.now(UTC) - timedelta(days=body.days)

    def ask() -> Any:
        rows = station.store.scores(since, body.product, station.options.station)
        return what_if(calibration, body.chosen, rows)

    found: dict[str, Any] = await _in_thread(request, ask)
    return found


@router.post("/thresholds")
async def set_thresholds(request: Request, body: _ThresholdsBody) -> dict[str, Any]:
    """Put other thresholds in force."""
    station = _station(request, "admin")
    await _in_thread(request, station.control.set_thresholds, body.chosen, _who(request, body.who))
    return await thresholds(request)


@router.get("/model")
async def model(request: Request) -> dict[str, Any]:
    """The model in force, and its other versions."""
    found: dict[str, Any] = await _in_thread(request, status.model, _station(request, "review"))
    return found


@router.post("/model")
async def load_model(request: Request, body: _ModelBody) -> dict[str, Any]:
    """Load a new version from a folder of this machine; it takes over when it has proved itself."""
    station = _station(request, "admin")
    who = _who(request, body.who)
    loaded, comparison = await _in_thread(
        request, station.control.load, Path(body.folder), who, force=body.force
    )
    return {"version": loaded.version, "comparison": status.plain(comparison)}


@router.post("/model/rollback")
async def roll_back(request: Request, body: _RollBackBody) -> dict[str, Any]:
    """Put the version before in force; ``version`` is the one to leave, so a repeated call is harmless."""
    station = _station(request, "admin")
    loaded = await _in_thread(request, station.control.roll_back, _who(request, body.who), body.version)
    return {"version": loaded.version}


@router.get("/changes")
async def changes(request: Request, limit: _Limit = 100) -> dict[str, Any]:
    """The audit log, the newest first."""
    station = _station(request, "review")
    found = await _in_thread(request, station.store.changes, limit, station.options.station)
    return {"changes": [change.model_dump(mode="json") for change in found]}


async def _found(request: Request, station: Station, id: str) -> InspectionRecord:
    found: InspectionRecord | None = await _in_thread(request, station.store.get, id)
    if found is None:
        raise HTTPException(404, f"there is no inspection {id[:40]}")
    return found


def _require(data: bytes) -> None:
    if not data:
        raise HTTPException(404, "this picture was not kept, or was removed for room")


def _kept(station: Station, name: str | None) -> bytes:
    path = station.keeper.path(name) if name else None
    try:
        return path.read_bytes() if path else b""
    except OSError:  # removed for room just now
        return b""


def _row(row: Row, station: Station) -> dict[str, Any]:
    return {
        "sequence": row.sequence,
        "inspection": row.inspection.model_dump(mode="json"),
        "recent": row.inspection.id in station.recent,
        "review": row.review and row.review.model_dump(mode="json"),
    }


def _within(mark: Mark, found: InspectionRecord) -> Mark:
    """Cut a mark to the picture."""
    left, top = min(mark.left, found.width - 1), min(mark.top, found.height - 1)
    right, bottom = min(mark.right, found.width), min(mark.bottom, found.height)
    return Mark(left=left, top=top, right=max(right, left + 1), bottom=max(bottom, top + 1))


def _utc(time: datetime | None) -> datetime | None:
    """Take a time without a zone as UTC."""
    return time if time is None or time.tzinfo else time.replace(tzinfo=UTC)
