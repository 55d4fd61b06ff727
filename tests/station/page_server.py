"""A small station for tests of the page: canned inspections, pictures drawn here, and the page's HTTP.

    python tests/station/page_server.py [--token TOKEN] [--empty] [--line]

Prints its address. ``--line`` adds an inspection every two seconds, to look at the page by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import socket
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response
from page_drawings import SIZE, drawn
from PIL import Image

import understudy.station
from understudy.lab.factory.defects import DEFECTS
from understudy.lab.factory.scenes import PRODUCTS
from understudy.station.inspection import Answer, Box, Change, InspectionRecord, Mark, Review

PAGE = Path(understudy.station.__file__).parent / "page"
STATION, MODEL = "Line 3", "spring line"
LIMITS = {"capsule": (2.35, 3.1), "linen": (2.6, 3.4), "nut": (2.2, 2.9), "veneer": (2.5, 3.2)}
HOSTILE = "<img src=x onerror=alert(1)>"
CSP = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
SHA = hashlib.sha256(b"model").hexdigest()


class Line:
    """The station's memory.

    Args:
        filled: whether it begins with 64 inspections of the last minutes.
    """

    def __init__(self, filled: bool) -> None:
        self.rows: list[InspectionRecord] = []
        self.seeds: dict[str, tuple[str, str, int]] = {}
        self.reviews: list[Review] = []
        self.thresholds = dict(LIMITS)
        self.version = 2
        self.drifting = filled
        self.changes: list[Change] = []
        if not filled:
            return
        rng = np.random.default_rng(7)
        kinds = ["good"] * 9 + ["defect"] * 3
        for n in range(64):
            product = sorted(PRODUCTS)[int(rng.integers(4))]
            kind = kinds[int(rng.integers(len(kinds)))]
            if kind == "defect" or n == 63:
                product = "nut" if n == 63 else product
                kind = "scratch" if n == 63 else sorted(DEFECTS[product])[int(rng.integers(3))]
            time = datetime.now(UTC) - timedelta(seconds=4 + 11 * (63 - n))
            self.inspect(f"{product}-{n:04d}.png", product, kind, n, time=time, job=f"A-{1041 + n // 20}")
        for row in [r for r in self.rows if r.verdict == "FAIL"][:3]:
            self.answer(row.id, "defective", "Ana", "seen at the gripper", ())
        unsure = next(r for r in self.rows if r.verdict == "REVIEW")
        self.answer(unsure.id, "defective", "Jo", "", (Mark(left=40, top=40, right=90, bottom=80),))
        self.answer(unsure.id, "good", "Ana", HOSTILE, ())
        self.log("Ana", "thresholds", {"product": "nut", "fail_above": "3.0 → 2.9"})
        self.log("station", "model", {"before": 1, "after": 2, "compared": 64, "verdicts_changed": 1})

    def log(self, who: str, action: str, detail: dict[str, object]) -> None:
        self.changes.insert(
            0, Change(time=datetime.now(UTC), station="line", who=who, action=action, detail=detail)
        )

    def inspect(
        self, name: str, product: str, kind: str, seed: int, *, time: datetime, job: str | None = None
    ) -> InspectionRecord:
        rng = np.random.default_rng(seed + 1000)
        review, fail = self.thresholds[product]
        unsure = kind == "good" and rng.uniform() < 0.12
        score = float(rng.normal(0.4, 0.6) if kind == "good" else rng.uniform(fail + 0.3, 2.4 * fail))
        score = float(rng.uniform(review, fail)) if unsure else min(score, 9.0)
        verdict = "FAIL" if score > fail else "REVIEW" if score > review else "PASS"
        _, _, found = drawn(product, kind, seed)
        boxes = [
            Box(left=a, top=b, right=c, bottom=d, area=(c - a) * (d - b), peak=score) for a, b, c, d in found
        ]
        id = uuid.UUID(int=int(rng.integers(2**62)) << 64 | seed).hex
        kept = verdict != "PASS" or seed % 2 == 0
        made = InspectionRecord(
            id=id, client_id=f"camera-{seed}", time=time, station=STATION, job=job, name=name,
            product=product, score=score, review_above=review, fail_above=fail, false_alarm_rate=0.01,
            calibration=hashlib.sha256(b"calibration").hexdigest(), verdict=verdict, regions=tuple(boxes),
            model=MODEL, version=self.version, model_sha256=SHA, width=SIZE, height=SIZE,
            picture_sha256=hashlib.sha256(name.encode()).hexdigest(), picture=f"{id}.png" if kept else None,
            heatmap=f"{id}-map.png" if kept else None, milliseconds=float(rng.uniform(34, 48)),
        )  # fmt: skip
        self.seeds[id] = (product, kind, seed)
        self.rows.append(made)
        return made

    def answer(self, id: str, answer: Answer, who: str, note: str, marks: tuple[Mark, ...]) -> Review:
        review = Review(inspection=id, time=datetime.now(UTC), who=who, answer=answer, note=note, marks=marks)
        self.reviews.append(review)
        return review

    def last(self, id: str) -> Review | None:
        return next((r for r in reversed(self.reviews) if r.inspection == id), None)

    def row(self, place: int) -> dict[str, Any]:
        found = self.rows[place]
        review = self.last(found.id)
        return {
            "sequence": place + 1,
            "inspection": found.model_dump(mode="json"),
            "review": review and review.model_dump(mode="json"),
        }

    def waiting(self) -> list[int]:
        return [
            i for i, r in enumerate(self.rows) if r.verdict in ("REVIEW", "FAIL") and self.last(r.id) is None
        ]

    def counts(self, times: int = 1) -> dict[str, int]:
        found = Counter(r.verdict or "NONE" for r in self.rows)
        return {v: found[v] * (times if v == "PASS" else 1) for v in ("PASS", "REVIEW", "FAIL", "NONE")}


def streams(line: Line) -> list[dict[str, Any]]:
    """Canned streams of drift; linen has become darker."""
    what = "linen: pictures are darker than the calibration's: median brightness 0.38, was 0.46"
    if not line.rows:
        return []
    rng = np.random.default_rng(3)
    made = []
    for product in sorted(PRODUCTS):
        for name in ("score", "distance", "brightness", "sharpness"):
            level = float(rng.normal(-0.3, 0.5))
            alarm = line.drifting and (product, name) == ("linen", "brightness")
            level = 3.9 if alarm else 1.9 if (product, name) == ("veneer", "sharpness") else level
            made.append({"product": product, "name": name, "n": 412, "level": level, "limit": 3.2,
                         "since": 131 if alarm else None, "what": what if alarm else ""})  # fmt: skip
    return made


def weeks(line: Line) -> list[dict[str, Any]]:
    """Canned weeks."""

    def share(count: int, of: int, low: float | None = None, high: float | None = None) -> dict[str, Any]:
        return {"count": count, "of": of, "share": count / of if of else None, "low": low, "high": high}

    if not line.rows:
        return []
    return [
        {"week": "2026-W48", "start": "2026-11-23", "inspected": 8214, "reviewed": 137,
         "alarms": share(301, 8214, 0.033, 0.041), "found": share(74, 96, 0.68, 0.84),
         "false_alarms": share(22, 96, 0.16, 0.32),
         "missed": share(1, 41, 0.0, 0.13)},
        {"week": "2026-W47", "start": "2026-11-16", "inspected": 7961, "reviewed": 12,
         "alarms": share(254, 7961, 0.028, 0.036), "found": share(9, 12, 0.47, 0.91),
         "false_alarms": share(3, 12, 0.09, 0.53),
         "missed": share(0, 0)},
    ]  # fmt: skip


def make_app(token: str | None, filled: bool) -> FastAPI:
    """Make the app."""
    line = Line(filled)
    app = FastAPI(docs_url=None)
    app.state.line = line

    @app.middleware("http")
    async def guard(request: Request, proceed: Any) -> Response:
        secret = not (request.url.path == "/" or request.url.path.startswith("/page/"))
        if token and secret and request.headers.get("authorization") != f"Bearer {token}":
            response: Response = JSONResponse({"error": "a token is needed"}, 401)
        else:
            response = await proceed(request)
        response.headers["Content-Security-Policy"] = CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code)

    def found(id: str) -> int:
        for i, row in enumerate(line.rows):
            if row.id == id:
                return i
        raise HTTPException(404, f"there is no inspection {id}")

    @app.get("/", include_in_schema=False)
    @app.get("/page/{name}", include_in_schema=False)
    def page(name: str = "index.html") -> FileResponse:
        if not (PAGE / Path(name).name).is_file():
            raise HTTPException(404, "there is nothing here")
        return FileResponse(PAGE / Path(name).name)

    @app.get("/api/state")
    def state() -> Any:
        alarms = [s["what"] for s in streams(line) if s["since"] is not None]
        return {
            "state": "yellow" if alarms else "green", "reasons": [f"Drift: {a}" for a in alarms],
            "station": STATION, "time": datetime.now(UTC).isoformat(),
            "model": {"name": MODEL, "version": line.version, "method": "snl-rd", "calibrated": True,
                      "products": sorted(PRODUCTS), "sha256": SHA},
            "last_hour": line.counts(24), "today": line.counts(170), "per_minute": 19.8,
            "waiting": len(line.waiting()), "drift_alarms": len(alarms), "stored": True,
            "milliseconds": 41.3, "scopes": ["inspect", "review", "admin"], "who": None,
        }  # fmt: skip

    @app.get("/api/inspections")
    def inspections(
        limit: int = 50, before: int | None = None, product: str = "", text: str = "",
        verdict: list[str] = Query(default=[]), since: datetime | None = None,  # noqa: B008
        until: datetime | None = None, answered: bool | None = None,
    ) -> Any:  # fmt: skip
        def fits(row: InspectionRecord) -> bool:
            words = f"{row.name} {row.id} {row.client_id} {row.job} {row.reason}".lower()
            return (
                (not verdict or row.verdict in verdict)
                and product in ("", row.product)
                and text.lower() in words
                and (since is None or row.time >= since)
                and (until is None or row.time < until)
                and (answered is None or answered == (line.last(row.id) is not None))
            )

        last = len(line.rows) if before is None else before - 1
        places = [i for i in reversed(range(last)) if fits(line.rows[i])]
        more = len(places) > limit
        return {
            "rows": [line.row(i) for i in places[:limit]],
            "next": places[limit - 1] + 1 if more else None,
        }

    @app.get("/api/inspections/{id}")
    def inspection(id: str) -> Any:
        place = found(id)
        own = [r.model_dump(mode="json") for r in line.reviews if r.inspection == id]
        return {**line.row(place), "reviews": own}

    @app.get("/api/inspections/{id}/{what}")
    def file(id: str, what: str) -> Response:
        if line.rows[found(id)].picture is None:
            raise HTTPException(404, "this picture was not kept")
        return Response(drawn(*line.seeds[id])[what == "heatmap"], media_type="image/png")

    @app.get("/api/waiting")
    def waiting(limit: int = 50) -> Any:
        places = line.waiting()
        return {"rows": [line.row(i) for i in places[:limit]], "waiting": len(places)}

    @app.post("/api/inspections/{id}/reviews")
    async def review(id: str, request: Request) -> Any:
        body = await request.json()
        found(id)
        marks = tuple(Mark(**mark) for mark in body["marks"])
        return line.answer(id, body["answer"], body["who"], body["note"], marks).model_dump(mode="json")

    @app.get("/api/weeks")
    def real_life() -> Any:
        return {"weeks": weeks(line)}

    @app.get("/api/reviewed.zip")
    def reviewed() -> Response:
        return Response(b"PK\x05\x06" + bytes(18), media_type="application/zip")

    @app.get("/api/drift")
    def drift() -> Any:
        return {"budget": 0.01, "streams": streams(line)}

    @app.post("/api/drift/reset")
    async def reset(request: Request) -> Any:
        line.drifting = False
        body = await request.json()
        line.log(body["who"], "drift", {"reset": body["product"] or "all"})
        return {"ok": True}

    def in_force() -> Any:
        products = [
            {"product": p, "review_above": r, "fail_above": f, "false_alarm_rate": 0.01, "own": p == "nut"}
            for p, (r, f) in line.thresholds.items()
        ]
        return {"products": products if line.rows else []}

    @app.get("/api/thresholds")
    def thresholds() -> Any:
        return in_force()

    @app.post("/api/thresholds/what-if")
    async def what_if(request: Request) -> Any:
        body = await request.json()
        rows = [(r.score or 0, line.last(r.id)) for r in line.rows if r.product == body["product"]]
        now, then = line.thresholds[body["product"]], (body["review_above"], body["fail_above"])

        def counts(limits: tuple[float, float]) -> dict[str, int]:
            fails = sum(s > limits[1] for s, _ in rows)
            reviews = sum(s > limits[0] for s, _ in rows) - fails
            return {"PASS": 100 * (len(rows) - fails - reviews), "REVIEW": 9 * reviews, "FAIL": 7 * fails}

        bad = [s for s, r in rows if r and r.answer == "defective"]
        good = [s for s, r in rows if r and r.answer == "good"]
        return {
            "n": sum(counts(now).values()), "now": counts(now), "then": counts(then),
            "reviewed": {
                "defective_found_now": sum(s > now[0] for s in bad),
                "defective_found_then": sum(s > then[0] for s in bad), "defective": len(bad),
                "good_failed_now": sum(s > now[1] for s in good),
                "good_failed_then": sum(s > then[1] for s in good), "good": len(good),
            },
        }  # fmt: skip

    @app.post("/api/thresholds")
    async def set_thresholds(request: Request) -> Any:
        body = await request.json()
        line.thresholds[body["product"]] = (body["review_above"], body["fail_above"])
        line.log(body["who"], "thresholds", {k: body[k] for k in ("product", "review_above", "fail_above")})
        return in_force()

    @app.get("/api/model")
    def model() -> Any:
        versions = [
            {"version": v, "name": MODEL, "sha256": hashlib.sha256(bytes([v])).hexdigest(), "loaded": True,
             "active": v == line.version}
            for v in (2, 1)
        ]  # fmt: skip
        return {
            "name": MODEL, "version": line.version, "versions": versions, "method": "snl-rd",
            "teacher": "tf_efficientnet_lite0", "trained": dict.fromkeys(PRODUCTS, 60),
            "products": sorted(PRODUCTS),
            "calibration": {"promise": "At most 1 % of good pictures FAIL, on average over calibrations.",
                            "n_good": 396},
            "licence": "Understudy: Apache-2.0. Weights of the teacher: Apache-2.0.",
            "parity": "onnxruntime: maps differ by 2.1e-06 of their range at most",
        }  # fmt: skip

    @app.post("/api/model/rollback")
    async def roll_back(request: Request) -> Any:
        who = (await request.json())["who"]
        line.log(who, "roll back", {"before": line.version, "after": line.version - 1})
        line.version -= 1
        return {"version": line.version}

    @app.get("/api/changes")
    def changes() -> Any:
        return {"changes": [json.loads(change.model_dump_json()) for change in line.changes]}

    @app.post("/inspect")
    async def inspect(pictures: list[UploadFile]) -> Any:
        results: list[dict[str, Any]] = []
        for file in pictures:
            try:
                Image.open(io.BytesIO(await file.read())).verify()
            except Exception:
                results.append({"error": f"{file.filename} is not a picture", "name": file.filename})
                continue
            made = line.inspect(file.filename or "", "nut", "rust", len(line.rows), time=datetime.now(UTC))
            results.append({"inspection": made.model_dump(mode="json"), "stored": True, "repeated": False})
        judged = any("inspection" in result for result in results)
        return JSONResponse({"results": results}, 200 if judged else 422)

    return app


def feed(line: Line) -> None:
    """Add an inspection every two seconds."""
    rng = np.random.default_rng()
    while True:
        time.sleep(2)
        product = sorted(PRODUCTS)[int(rng.integers(4))]
        kind = "good" if rng.uniform() < 0.8 else sorted(DEFECTS[product])[int(rng.integers(3))]
        n = len(line.rows)
        line.inspect(f"{product}-{n:04d}.png", product, kind, n, time=datetime.now(UTC), job="A-1044")


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--token")
    parser.add_argument("--empty", action="store_true")
    parser.add_argument("--line", action="store_true")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    app = make_app(args.token, not args.empty)
    if args.line:
        threading.Thread(target=feed, args=(app.state.line,), daemon=True).start()
    with socket.create_server(("127.0.0.1", args.port)) as door:
        print(f"http://127.0.0.1:{door.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[door])


if __name__ == "__main__":
    main()
