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
async def ready() -> Response:
    """Whether the station can judge pictures."""
    return JSONResponse({"ready": True})


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
    try:
        call = parse_infer(await request.body(), request.headers.get(HEADER))
    except InputError as error:
        raise RefusedError(400, str(error)) from error
    limits = station.options.limits
    if len(call.pictures) > limits.pictures:
        raise RefusedError(
            413, f"the call has {len(call.pictures)} pictures, and the most is {limits.pictures}"
        )
    if max(map(len, call.pictures)) > limits.picture_bytes:
        raise RefusedError(413, f"a picture has more than {limits.picture_bytes} bytes; send a smaller file")
    outcomes = await state.threads.run(
        "inspect",
        station.intake.inspect,
        [Incoming(f"picture-{i}", data) for i, data in enumerate(call.pictures)],
        product=call.product,
        job=call.job,
        client_id=call.client_id,
        arrived=arrived,
    )
    errors = [outcome.error for outcome in outcomes if outcome.error]
    if len(errors) == len(outcomes):
        raise RefusedError(400, errors[0])
    used = station.versions.current
    outputs = await state.threads.run("inspect", _outputs, call, outcomes, used)
    body, length = answer_infer(call, used.name, used.version, outputs)
    headers = {HEADER: str(length)} if length is not None else {}
    kind = "application/octet-stream" if length is not None else "application/json"
    return Response(body, media_type=kind, headers=headers)


def _model(request: Request, name: str, version: str | None) -> Loaded:
    loaded: Loaded = request.app.state.station.versions.current
    if name != loaded.name or version not in (None, str(loaded.version)):
        asked = name if version is None else f"{name}, version {version}"
        raise HTTPException(
            404, f"there is no model {asked[:100]}; this station has {loaded.name}, version {loaded.version}"
        )
    return loaded


def _outputs(call: InferenceCall, outcomes: Sequence[Reply], loaded: Loaded) -> Outputs:
    records = [outcome.inspection for outcome in outcomes]
    outputs: dict[str, Any] = {
        "score": np.array([np.nan if r is None or r.score is None else r.score for r in records], np.float32),
        "verdict": [(r and r.verdict) or "" for r in records],
        "category": [(r and r.product) or "" for r in records],
        "id": [r.id if r else "" for r in records],
        "stored": np.array([outcome.stored for outcome in outcomes], np.bool_),
        "error": [outcome.error or "" for outcome in outcomes],
    }
    if "map" in call.outputs:
        outputs["map"] = _maps(call, outcomes, loaded)
    return outputs


def _maps(call: InferenceCall, outcomes: Sequence[Reply], loaded: Loaded) -> Any:
    """Return the (N, h, w) maps; a map of a repeated call is computed again, since it is not kept."""
    maps: list[NDArray[np.float32] | None] = []
    for outcome, data in zip(outcomes, call.pictures, strict=True):
        if outcome.judged is not None:
            maps.append(outcome.judged.result.anomaly_map)
        elif outcome.inspection is not None:
            maps.append(loaded.again(data, outcome.inspection.product_given).anomaly_map)
        else:
            maps.append(None)
    shapes = {each.shape for each in maps if each is not None}
    if len(shapes) > 1:
        raise RefusedError(
            400, "the maps of these pictures differ in size; ask for one picture's map at a time"
        )
    (shape,) = shapes
    return np.stack([np.full(shape, np.nan, np.float32) if each is None else each for each in maps])
