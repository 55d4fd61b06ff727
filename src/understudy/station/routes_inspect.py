"""``POST /inspect``: pictures in, records out; and ``GET /metrics``."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from understudy.errors import InputError
from understudy.station.config import CallLimits
from understudy.station.guard import RefusedError
from understudy.station.intake import LONGEST_TEXT, Incoming, Reply
from understudy.station.station import Station

__all__ = ["router"]

router = APIRouter()

Text = Annotated[str | None, Query(max_length=LONGEST_TEXT)]

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["pictures"],
                    "properties": {
                        "pictures": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "product": {"type": "string", "description": "what all pictures show"},
                        "job": {"type": "string", "description": "job id of the client"},
                        "id": {"type": "string", "description": "makes a repeated call harmless"},
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class _InMemory(MultiPartParser):
    """Keeps files in memory, since the disk may be full; the guard limits their size."""

    def __init__(self, *given: Any, most: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self.spool_max_size = most


@router.post("/inspect", openapi_extra=_FORM)
async def inspect(request: Request, product: Text = None, job: Text = None, id: Text = None) -> Response:
    """Judge pictures: a form with files ``pictures``, or one picture as the body.

    The answer has a result for each picture: its record, or why it cannot be judged. The status is 200 if
    any picture was judged, else 422.
    """
    arrived = time.perf_counter()
    request.state.caller.require("inspect")
    state = request.app.state
    station: Station = state.station
    limits = station.options.limits
    asked = {"product": product, "job": job, "id": id}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        pictures, fields = await _form(request, limits)
        asked |= fields
    elif kind.startswith("image/") or kind == "application/octet-stream":
        pictures = [Incoming("picture", await request.body())]
    else:
        raise RefusedError(
            415, "send a form (multipart/form-data) with files 'pictures', or one picture as image/*"
        )
    replies = await state.threads.run(
        "inspect",
        station.intake.inspect,
        pictures,
        product=asked["product"],
        job=asked["job"],
        client_id=asked["id"],
        arrived=arrived,
    )
    results = [_result(reply) for reply in replies]
    judged = any(reply.inspection for reply in replies)
    return JSONResponse({"results": results}, 200 if judged else 422)


async def _form(request: Request, limits: CallLimits) -> tuple[list[Incoming], dict[str, str]]:
    """Read a form: its pictures, and the texts beside them."""
    try:
        form = await _InMemory(
            request.headers,
            request.stream(),
            most=limits.call_bytes,
            max_files=limits.pictures,
            max_fields=8,
            max_part_size=1000,
        ).parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "the form has no boundary")
        raise RefusedError(400, f"the form cannot be read: {reason}") from error
    try:
        pictures, fields = await _parts(form)
    finally:
        await form.close()
    if not pictures:
        raise InputError("the call has no picture; send files in the field 'pictures'")
    return pictures, fields


async def _parts(form: FormData) -> tuple[list[Incoming], dict[str, str]]:
    pictures, fields = [], {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "pictures":
                raise InputError(f"pictures come in the field 'pictures', and one came as {name[:50]!r}")
            pictures.append(Incoming(value.filename or "", await value.read()))
        elif name in ("product", "job", "id") and value:
            if len(value) > LONGEST_TEXT:
                raise InputError(f"{name} has {len(value)} letters, and the most is {LONGEST_TEXT}")
            fields[name] = value
    return pictures, fields


def _result(reply: Reply) -> dict[str, Any]:
    if reply.inspection is None:
        return {"error": reply.error, "name": reply.name}
    record = reply.inspection.model_dump(mode="json")
    return {"inspection": record, "stored": reply.stored, "repeated": reply.repeated}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    request.state.caller.require("inspect")
    telemetry = request.app.state.station.telemetry
    figures = await request.app.state.threads.run("metrics", telemetry.render)
    return Response(figures, media_type=telemetry.content_type)
