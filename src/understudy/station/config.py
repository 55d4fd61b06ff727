"""Options of a station, each described once; the command line shows the same words."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from understudy.types import Verdict

__all__ = ["CallLimits", "StationOptions", "is_loopback"]


class CallLimits(BaseModel):
    """What one call may ask for. A call beyond a limit is refused with a sentence, never queued.

    Attributes:
        call_bytes: largest body of a call, in bytes.
        bytes_in_flight: most bytes of all calls that are being answered; one that goes beyond gets 503.
        picture_bytes: largest file of a picture, in bytes.
        pixels: most pixels of a picture.
        pictures: most pictures of a call.
        calls: most calls that send pictures at the same time; one more gets 503.
        waiting: most pictures that wait for the model.
        seconds: longest time that a client may take to send a call.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    call_bytes: int = Field(default=256 * 2**20, ge=1)
    bytes_in_flight: int = Field(default=512 * 2**20, ge=1)
    picture_bytes: int = Field(default=64 * 2**20, ge=1)
    pixels: int = Field(default=100_000_000, ge=1)
    pictures: int = Field(default=64, ge=1)
    calls: int = Field(default=32, ge=1)
    waiting: int = Field(default=256, ge=1)
    seconds: float = Field(default=60.0, gt=0)


class StationOptions(BaseModel):
    """Options of a station.

    Attributes:
        folder: folder of the station: database, kept pictures, tokens and versions of the model.
        station: name of the station in every record.
        database: URL of the database; by default an SQLite file in the folder.
        host: address to bind to.
        port: port to bind to; 0 takes a free one.
        keep_every: one in so many PASS pictures is kept; 0 keeps none. FAIL and REVIEW are always kept.
        keep_bytes: most bytes of kept pictures and heat maps.
        batch_size: most pictures that are scored at once.
        batch_wait: longest time, in seconds, that a picture waits for others that are on their way.
        threads: threads of the runtime; one per usable core by default.
        lanes: most pictures that are scored side by side, each by one thread, while many wait; 1 scores all
            by all threads.
        drift_budget: chance that any drift alarm is ever false, in (0, 1).
        drift_every: one in so many pictures of a product is watched for drift, since pictures that follow
            each other are alike; see docs/station-drift.md.
        watch: folder in which a camera writes pictures.
        webhook: URL that every result is posted to.
        webhook_only: verdicts that are posted; all by default.
        mqtt: URL of an MQTT broker.
        limits: what one call may ask for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    station: str = Field(default="station", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    database: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    keep_every: int = Field(default=20, ge=0)
    keep_bytes: int = Field(default=20 * 2**30, ge=0)
    batch_size: int = Field(default=8, ge=1, le=256)
    batch_wait: float = Field(default=0.002, ge=0, le=1)
    threads: int | None = Field(default=None, ge=1)
    lanes: int = Field(default=1, ge=1)
    drift_budget: float = Field(default=0.01, gt=0, lt=1)
    drift_every: int = Field(default=10, ge=1)
    watch: Path | None = None
    webhook: str | None = None
    webhook_only: tuple[Verdict, ...] = ()
    mqtt: str | None = None
    limits: CallLimits = CallLimits()

    @property
    def database_url(self) -> str:
        """URL of the database, as SQLAlchemy takes it."""
        return self.database or f"sqlite:///{self.folder.absolute() / 'station.db'}"


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server at an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
