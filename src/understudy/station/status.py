"""What the station says of itself: its state and its model."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from understudy.station.archive import StoreError
from understudy.station.inspection import State
from understudy.station.station import Station

__all__ = ["model", "plain", "reasons", "state"]

_NONE = {"PASS": 0, "REVIEW": 0, "FAIL": 0, "NONE": 0}


def plain(value: Any) -> Any:
    """Return a data class or a model as JSON takes it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in (f.name for f in dataclasses.fields(value))}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(each) for name, each in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def state(station: Station) -> dict[str, Any]:
    """Return the state of a station, as ``GET /api/state`` gives it without the caller."""
    now = datetime.now(UTC)
    loaded = station.versions.current
    try:
        hour = station.store.counts(station.options.station, now - timedelta(hours=1))
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        today = station.store.counts(station.options.station, midnight)
        waiting: int | None = station.store.count_waiting(station.options.station)
        unreachable = None
    except StoreError as error:
        hour, today, waiting, unreachable = {}, {}, None, str(error)
    red, yellow = reasons(station, unreachable)
    colour: State = "red" if red else "yellow" if yellow else "green"
    minutes = min(60.0, max((now - station.began).total_seconds() / 60, 1.0))
    manifest = loaded.inspector.manifest
    return {
        "state": colour,
        "reasons": red + yellow,
        "station": station.options.station,
        "time": now.isoformat(),
        "model": {
            "name": loaded.name,
            "version": loaded.version,
            "method": manifest.method,
            "products": loaded.inspector.categories,
            "calibrated": loaded.inspector.calibration is not None,
            "sha256": loaded.sha256,
        },
        "last_hour": _NONE | hour,
        "today": _NONE | today,
        "per_minute": round(sum(hour.values()) / minutes, 2),
        "waiting": waiting,
        "drift_alarms": len(station.drift_alarms()),
        "stored": not (station.recorder.trouble or unreachable),
        "milliseconds": station.milliseconds,
    }


def reasons(station: Station, unreachable: str | None = None) -> tuple[list[str], list[str]]:
    """Return why the station is red, and why it is yellow, each in sentences."""
    red = [
        f"Inspections are not stored: {trouble}."
        for trouble in [station.recorder.trouble or unreachable]
        if trouble
    ]
    if station.keeper.trouble:
        red.append(f"Pictures are not kept: {station.keeper.trouble}.")
    yellow = [f"Drift: {what}" for what in station.drift_alarms()]
    if station.versions.current.inspector.calibration is None:
        yellow.append("The model is not calibrated, so pictures get no verdict.")
    yellow += [f"{way}: {part.trouble}" for way, part in station.parts.items() if part.trouble]
    return red, yellow + list(station.remarks)


def model(station: Station) -> dict[str, Any]:
    """Describe the model in force, as ``GET /api/model`` does."""
    loaded = station.versions.current
    manifest, calibration = loaded.inspector.manifest, loaded.inspector.calibration
    parity = manifest.graph and manifest.graph.parity
    return {
        "name": loaded.name,
        "version": loaded.version,
        "versions": station.versions.listed(),
        "method": manifest.method,
        "teacher": manifest.teacher.name,
        "trained": manifest.training.categories,
        "products": loaded.inspector.categories,
        "calibration": calibration
        and {"promise": calibration.promise, "n_good": calibration.thresholds.n_good},
        "licence": f"Understudy: Apache-2.0. Weights of the teacher: {manifest.teacher.origin}.",
        "parity": parity
        and f"{parity.runtime}: maps differ by {parity.map_error_relative:.1e} of their range at most",
    }
