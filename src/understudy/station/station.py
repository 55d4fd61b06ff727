"""The station itself: pictures in, verdicts out, every inspection kept. It knows nothing of HTTP."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import deque
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from statistics import median
from typing import Any, Protocol

from understudy.errors import InputError
from understudy.files import write_text
from understudy.folders import locked
from understudy.runtime.decision import distances_to, thresholds_for
from understudy.station.archive import Store, StoreError
from understudy.station.config import StationOptions
from understudy.station.control import Control
from understudy.station.drift import Observed
from understudy.station.engine import Engine, JudgedPicture
from understudy.station.inspection import InspectionRecord
from understudy.station.intake import Intake
from understudy.station.keeping import Keeper
from understudy.station.patience import within
from understudy.station.recent import Recent
from understudy.station.recorder import Recorder
from understudy.station.telemetry import Telemetry
from understudy.station.versions import Opener

__all__ = ["EXPORTS", "Neighbour", "Sink", "Station"]

_SAVE_DRIFT = 60.0  # seconds
_CLOSING = 5.0  # seconds
_IDENTITY = "identity.txt"
EXPORTS = ".understudy-reviewed-"
"""Beginning of the names of folders with exports that are being sent."""


class Neighbour(Protocol):
    """Something around a station that passes pictures or records on."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot do so now, in a sentence."""

    def status(self) -> dict[str, int]:
        """Return how many were passed on, and what became of the others."""


class Sink(Neighbour, Protocol):
    """Something that gets every record, such as a webhook; never blocks."""

    def post(self, record: dict[str, Any]) -> None:
        """Take a record."""

    def close(self, seconds: float) -> None:
        """Send what waits, for so many seconds at most."""


class Station:
    """A model that judges, and the database that remembers. Safe for several threads.

    :attr:`intake` takes pictures, :attr:`control` takes changes.

    Args:
        options: options of the station.
        opener: opens the folder of a model.

    Raises:
        InputError: the folder belongs to a running station, or the database is older than this version.
        StoreError: the database cannot be reached.
    """

    def __init__(self, options: StationOptions, opener: Opener) -> None:
        self.options = options
        self.began = datetime.now(UTC)
        with ExitStack() as stack:
            options.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(options.folder))
            for left in options.folder.glob(f"{EXPORTS}*"):  # of a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            self.store = Store.open(options.database_url)
            stack.callback(self.store.close)
            self.keeper = Keeper(
                options.folder,
                self.store,
                every=options.keep_every,
                budget=options.keep_bytes,
                station=options.station,
                clean=True,
            )
            _claim(self.store, options)
            self.control = Control(options, opener, self.store, self.keeper)
            self.versions = self.control.versions
            self.recorder = Recorder(self.store)
            stack.callback(self.recorder.close)
            limits = options.limits
            self.engine = Engine(
                lambda: self.versions.current,
                batch_size=options.batch_size,
                wait=options.batch_wait,
                most_waiting=limits.waiting,
                lanes=options.lanes,
            )
            stack.callback(self.engine.close)
            self.recent = Recent()
            self.telemetry = self._telemetry()
            self.intake = Intake(
                options.station,
                limits,
                self.versions,
                self.engine,
                self.keeper,
                self.recorder,
                self.recent,
                self._tell,
                lambda: self.telemetry.failed("picture"),
            )
            self.sinks: list[Sink] = []
            self.parts: dict[str, Neighbour] = {}
            self.remarks: list[str] = []
            self._milliseconds: deque[float] = deque(maxlen=200)
            self._waiting = 0
            self._saved_drift = time.monotonic()
            self._open = stack.pop_all()

    def _telemetry(self) -> Telemetry:
        telemetry = Telemetry()
        for name, what, read in (
            ("queue", "Pictures that wait for the model.", lambda: self.engine.waiting),
            ("review_waiting", "Inspections that wait for a person.", lambda: self._waiting),
            ("drift_alarms", "Figures of products that have drifted.", lambda: len(self.drift_alarms())),
            ("storing", "1 while inspections are stored, else 0.", lambda: self.recorder.trouble is None),
        ):
            telemetry.gauge(name, what, read)
        return telemetry

    def add_sink(self, way: str, sink: Sink) -> None:
        """Let something get every record."""
        self.sinks.append(sink)
        self.add_part(way, sink)

    def add_part(self, way: str, part: Neighbour) -> None:
        """Let a part show its figures and its trouble."""
        self.parts[way] = part
        self.telemetry.delivery(way, part.status)

    @property
    def milliseconds(self) -> float | None:
        """Median time of the last pictures from arrival to verdict; ``None`` before the first."""
        return round(median(self._milliseconds), 1) if self._milliseconds else None

    def drift_alarms(self) -> list[str]:
        """Return what has drifted, each in a sentence."""
        streams = self.control.drift.status() if self.control.drift else []
        return [stream.what for stream in streams if stream.since is not None]

    def look_after(self) -> None:
        """Do what has to be done from time to time, such as making room and finding a lost database."""
        self.recorder.probe()
        loaded = self.versions.current
        self.telemetry.model(loaded.name, loaded.version, loaded.sha256)
        self.remarks = [remark for remark in [self.control.remark()] if remark]
        try:
            self._waiting = self.store.count_waiting(self.options.station)
            self.control.write_log()
            self.keeper.make_room()
            if time.monotonic() - self._saved_drift > _SAVE_DRIFT:
                self._saved_drift = time.monotonic()
                self.control.save_drift()
        except StoreError:
            return  # the recorder says so

    def close(self) -> None:
        """Answer what waits, keep what is known of drift, and stop."""
        for sink in self.sinks:
            sink.close(2.0)
        with suppress(StoreError, TimeoutError):
            within(_CLOSING, self.control.save_drift)
        self._open.close()

    def _tell(self, record: InspectionRecord, judged: JudgedPicture, is_stored: bool) -> None:
        """Tell everybody who wants to know of a new record."""
        self.telemetry.stored(is_stored)
        self.telemetry.inspected(record.verdict, record.product, record.milliseconds / 1000)
        self._milliseconds.append(record.milliseconds)
        self._watch_drift(judged)
        if self.sinks:
            told = record.model_dump(mode="json") | {"stored": is_stored}
            for sink in self.sinks:
                sink.post(told)

    def _watch_drift(self, judged: JudgedPicture) -> None:
        monitor, scored, inspector = self.control.drift, judged.scored, judged.loaded.inspector
        if monitor is None or scored is None:
            return
        product = judged.result.category or inspector.scorer.nearest(scored.embedding)
        calibration = judged.loaded.own  # as the references: a person's thresholds change nothing here
        fails = calibration and scored.score > thresholds_for(calibration, product).fail_above
        distances = distances_to(scored.embedding, inspector.scorer.prototypes)
        observed = Observed(
            score=None if fails or scored.score != scored.score else scored.score,
            distance=distances[product],
            brightness=scored.brightness,
            sharpness=scored.sharpness,
        )
        for alarm in monitor.add(product, observed):
            self.control.log("station", "drift", {"alarm": str(alarm)})


def _claim(store: Store, options: StationOptions) -> None:
    """Note in the database whose folder a station's name belongs to.

    Raises:
        InputError: a station of that name, with another folder, uses the database.
    """
    path, key = options.folder / _IDENTITY, f"{options.station}/identity"
    own = path.read_text(encoding="utf-8").strip() if path.is_file() else uuid.uuid4().hex
    kept = (store.value(key) or {}).get("id")
    if kept not in (None, own):
        raise InputError(
            f"the station {options.station!r} of this database does not have the folder {options.folder}; "
            "name its own --folder, or choose another --station"
        )
    if not path.is_file():
        write_text(path, own + "\n")
    if kept is None:
        store.set_value(key, {"id": own})
