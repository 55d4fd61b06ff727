"""The paths of the Open Inference Protocol, version 2."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from understudy.errors import InputError
from understudy.station.guard import RefusedError
from understudy.station.intake import Incoming, Reply
from understudy.station.protocol import (
    HEADER,
    InferenceCall,
    Outputs,
    answer_infer,
    model_metadata,
    parse_infer,
)
from understudy.station.station import Station
from understudy.station.versions import Loaded

__all__ = ["router"]

router = APIRouter(prefix="/v2")


@router.get("/health/live")
async def live() -> Response:
    """Whether the station runs."""
    return JSONResponse({"live": True})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """Whether the station can judge pictures."""
    is_ready = request.app.state.station.engine.is_alive
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


@router.get("")
async def server(request: Request) -> dict[str, Any]:
    """Describe the server."""
    request.state.caller.require("inspect")
    return {"name": "understudy", "version": request.app.version, "extensions": ["binary_tensor_data"]}


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(request: Request, name: str, version: str | None = None) -> Response:
    """Whether a model can judge pictures."""
    request.state.caller.require("inspect")
    loaded = _model(request, name, version)
    return JSONResponse({"name": loaded.name, "ready": True})


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def model(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """Describe a model."""
    request.state.caller.require("inspect")
    loaded = _model(request, name, version)
    return model_metadata(loaded.name, [loaded.version], loaded.inspector.manifest.method)


@router.post("/models/{name}/infer")
@router.post("/models/{name}/versions/{version}/infer")
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """Judge pictures. One that cannot be judged has its sentence in ``error``; if none can, it is a 400."""
    arrived = time.perf_counter()
    request.state.caller.require("inspect")
    state = request.app.state
    station: Station = state.station
    _model(request, name, version)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RefusedError(415, "this station takes no compressed calls; send pictures as JPEG or PNG")
    body, length = await request.body(), request.headers.get(HEADER)
    answer, length = await state.threads.run("inspect", _infer, station, body, length, arrived)
    headers = {HEADER: str(length)} if length is not None else {}
    kind = "application/octet-stream" if length is not None else "application/json"
    return Response(answer, media_type=kind, headers=headers)


def _infer(station: Station, body: bytes, length: str | None, arrived: float) -> tuple[bytes, int | None]:
    """Read a request, judge its pictures and write the answer; away from the event loop, since it takes long.

    Raises:
        RefusedError: it is no request, or no picture of it can be judged.
    """
    try:
        call = parse_infer(body, length)
        most = station.options.limits.pictures
        if len(call.pictures) > most:
            raise RefusedError(413, f"the call has {len(call.pictures)} pictures, and the most is {most}")
        replies = station.intake.inspect(
            [Incoming(f"picture-{i}", data) for i, data in enumerate(call.pictures)],
            product=call.product,
            job=call.job,
            client_id=call.client_id,
            arrived=arrived,
        )
        records = [reply.inspection for reply in replies if reply.inspection]
        if not records:
            raise RefusedError(400, replies[0].error or "no picture can be judged")
        used = station.versions.current
        return answer_infer(call, used.name, records[0].version, _outputs(call, replies, used))
    except InputError as error:
        raise RefusedError(400, str(error)) from error


def _model(request: Request, name: str, version: str | None) -> Loaded:
    loaded: Loaded = request.app.state.station.versions.current
    if name != loaded.name or version not in (None, str(loaded.version)):
        asked = name if version is None else f"{name}, version {version}"
        raise HTTPException(
            404, f"there is no model {asked[:100]}; this station has {loaded.name}, version {loaded.version}"
        )
    return loaded


def _outputs(call: InferenceCall, replies: Sequence[Reply], loaded: Loaded) -> Outputs:
    records = [reply.inspection for reply in replies]
    outputs: dict[str, Any] = {
        "score": np.array([np.nan if r is None or r.score is None else r.score for r in records], np.float32),
        "verdict": [(r and r.verdict) or "" for r in records],
        "category": [(r and r.product) or "" for r in records],
        "id": [r.id if r else "" for r in records],
        "stored": np.array([reply.stored for reply in replies], np.bool_),
        "error": [reply.error or "" for reply in replies],
    }
    if "map" in call.outputs:
        outputs["map"] = _maps(call, replies, loaded)
    return outputs


def _maps(call: InferenceCall, replies: Sequence[Reply], loaded: Loaded) -> Any:
    """Return the (N, h, w) maps; a map of a repeated call is computed again, since it is not kept."""
    maps: list[NDArray[np.float32] | None] = []
    for reply, data in zip(replies, call.pictures, strict=True):
        if reply.judged is not None:
            maps.append(reply.judged.result.anomaly_map)
        elif reply.inspection is not None:
            maps.append(loaded.again(data, reply.inspection.product_given).anomaly_map)
        else:
            maps.append(None)
    shapes = {each.shape for each in maps if each is not None}
    if len(shapes) > 1:
        raise RefusedError(
            400, "the maps of these pictures differ in size; ask for one picture's map at a time"
        )
    (shape,) = shapes
    return np.stack([np.full(shape, np.nan, np.float32) if each is None else each for each in maps])
