"""The station itself: pictures in, verdicts out, every inspection kept. It knows nothing of HTTP."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from understudy.errors import InputError
from understudy.folders import locked
from understudy.runtime.decision import distances_to, thresholds_for
from understudy.runtime.sources import EncodedPicture
from understudy.station.archive import Query, Store, StoreError
from understudy.station.chosen import Chosen, changed, require_product
from understudy.station.config import StationOptions
from understudy.station.drift import DriftMonitor, Observed, references_of
from understudy.station.engine import Engine, JudgedPicture
from understudy.station.inspection import Change, InspectionRecord
from understudy.station.intake import ConflictError, Intake
from understudy.station.keeping import Keeper
from understudy.station.recent import Recent
from understudy.station.recorder import Recorder
from understudy.station.telemetry import Telemetry, log_event
from understudy.station.versions import Comparison, Loaded, Opener, Versions, sha256_of_manifest

__all__ = ["Neighbour", "Sink", "Station"]

_COMPARED = 50  # kept pictures that a new version is compared on
_SAVE_DRIFT = 60.0  # seconds
_LOG = logging.getLogger("understudy.station")


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
            self.store = Store.open(options.database_url)
            stack.callback(self.store.close)
            self.keeper = Keeper(
                options.folder,
                self.store,
                every=options.keep_every,
                budget=options.keep_bytes,
                station=options.station,
            )
            known = self.store.value(self._key("versions")) or {}
            self.versions = Versions(options.folder, opener, known.get("versions", ()), known.get("active"))
            self.drift: DriftMonitor | None = None
            self.recorder = Recorder(self.store)
            stack.callback(self.recorder.close)
            limits = options.limits
            self.engine = Engine(
                lambda: self.versions.current,
                batch_size=options.batch_size,
                wait=options.batch_wait,
                most_waiting=limits.waiting,
            )
            stack.callback(self.engine.close)
            self.recent = Recent()
            self.telemetry = self._telemetry()
            self.intake = Intake(
                options.station,
                limits.pixels,
                self.versions,
                self.engine,
                self.keeper,
                self.store,
                self.recorder,
                self.recent,
                self._tell,
                lambda: self.telemetry.failed("picture"),
            )
            self.sinks: list[Sink] = []
            self.parts: dict[str, Neighbour] = {}
            self.remarks: list[str] = []
            self._milliseconds: deque[float] = deque(maxlen=200)
            self._source: Path | None = None
            self._saved_drift = time.monotonic()
            self._open = stack.pop_all()

    def _telemetry(self) -> Telemetry:
        telemetry = Telemetry()
        for name, what, read in (
            ("queue", "Pictures that wait for the model.", lambda: self.engine.waiting),
            ("review_waiting", "Inspections that wait for a person.", self._waiting),
            ("drift_alarms", "Figures of products that have drifted.", lambda: len(self.drift_alarms())),
            ("storing", "1 while inspections are stored, else 0.", lambda: self.recorder.trouble is None),
        ):
            telemetry.gauge(name, what, read)
        return telemetry

    def _waiting(self) -> float:
        return self.store.count_waiting(self.options.station)

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
        streams = self.drift.status() if self.drift else []
        return [stream.what for stream in streams if stream.since is not None]

    def look_after(self) -> None:
        """Do what has to be done from time to time: make room, keep the state of drift, look at the model."""
        with suppress(StoreError):
            self.keeper.make_room()
            if time.monotonic() - self._saved_drift > _SAVE_DRIFT:
                self._saved_drift = time.monotonic()
                self.save_drift()
        digest = self._source and sha256_of_manifest(self._source)
        is_other = digest not in (None, self.versions.current.sha256)
        self.remarks = (
            ["The model's folder holds another version now; load it to use it."] if is_other else []
        )

    def close(self) -> None:
        """Answer what waits, keep what is known of drift, and stop."""
        for sink in self.sinks:
            sink.close(2.0)
        with suppress(StoreError):
            self.save_drift()
        self._open.close()

    def start(self, model: Path | None = None) -> Loaded:
        """Put a model in force: a folder, or the version that was in force when the station stopped.

        Raises:
            BundleError: the model is damaged.
            InputError: no model was named, and the station never had one.
        """
        if model is None:
            active = self.versions.dump()["active"]
            if not active:
                raise InputError(f"{self.options.folder} has no model yet; name one: understudy serve MODEL")
            loaded = self.versions.reopen(active)
        else:
            loaded = self.versions.prepare(model)
            self._source = model
        self._take_over(loaded)
        return self.versions.current

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
        monitor, scored, inspector = self.drift, judged.scored, judged.loaded.inspector
        if monitor is None or scored is None:
            return
        product = judged.result.category or inspector.scorer.nearest(scored.embedding)
        calibration = inspector.calibration
        fails = calibration and scored.score > thresholds_for(calibration, product).fail_above
        distances = distances_to(scored.embedding, inspector.scorer.prototypes)
        observed = Observed(
            score=None if fails or scored.score != scored.score else scored.score,
            distance=distances[product],
            brightness=scored.brightness,
            sharpness=scored.sharpness,
        )
        for alarm in monitor.add(product, observed):
            self.log("station", "drift", {"alarm": str(alarm)})

    def log(self, who: str, action: str, detail: dict[str, object]) -> None:
        """Write a line of the audit log; a database that is gone does not stop the line."""
        change = Change(time=datetime.now(UTC), who=who, action=action, detail=detail)
        log_event(_LOG, action, who=who, detail=detail)
        with suppress(StoreError):
            self.store.log(change)

    def set_thresholds(self, chosen: Chosen, who: str) -> None:
        """Put thresholds in force that a person chose.

        Raises:
            InputError: the model is not calibrated, or does not know the product.
            StoreError: the change cannot be kept; then it is not made.
        """
        current = self.versions.current
        calibration = require_product(current.inspector.calibration, current.inspector.categories, chosen)
        before = thresholds_for(calibration, chosen.product)
        all_chosen = [each for each in self._chosen(current) if each.product != chosen.product] + [chosen]
        self.store.set_value(
            self._key("thresholds"),
            {"model": current.sha256, "chosen": [each.model_dump() for each in all_chosen]},
        )
        self.drift = self._new_monitor(
            self.versions.replace_current(lambda loaded: _with_chosen(loaded, all_chosen))
        )
        numbers = {"review_above", "fail_above"}
        detail: dict[str, object] = {"product": chosen.product, "after": chosen.model_dump(include=numbers)}
        self.log(who, "thresholds", detail | {"before": before.model_dump(include=numbers)})

    def load(self, model: Path, who: str, *, force: bool = False) -> tuple[Loaded, Comparison]:
        """Load a new version of the model, compare it on kept pictures, and put it in force.

        Raises:
            BundleError: the model is damaged.
            ConflictError: it differs too much on the kept pictures, and ``force`` is false.
        """
        new = self._with_own(self.versions.prepare(model))
        comparison = self.versions.compare(new, *self._kept_pictures())
        if comparison.refused and not force:
            raise ConflictError(f"the new version was not put in force: {comparison.refused}")
        before = self.versions.current.version
        self._source = model
        self._take_over(new)
        self.log(who, "model", {"before": before, "after": new.version, **vars(comparison)})
        return new, comparison

    def roll_back(self, who: str) -> Loaded:
        """Put the version before in force.

        Raises:
            InputError: there is none.
            BundleError: its copy is damaged.
        """
        before = self.versions.current.version
        loaded = self.versions.reopen(self.versions.previous())
        self._take_over(loaded)
        self.log(who, "roll back", {"before": before, "after": loaded.version})
        return loaded

    def _take_over(self, loaded: Loaded) -> None:
        loaded = self._with_own(loaded)
        self.versions.take_over(loaded)
        self.telemetry.model(loaded.name, loaded.version, loaded.sha256)
        self.store.set_value(self._key("versions"), self.versions.dump())
        kept = self.store.value(self._key("drift"))
        if kept and kept.get("model") == loaded.sha256:
            self.drift = DriftMonitor.load(kept["monitor"])
        else:
            self.drift = self._new_monitor(loaded)

    def _new_monitor(self, loaded: Loaded) -> DriftMonitor:
        """Begin to watch for drift; scores are compared up to the FAIL threshold in force."""
        return DriftMonitor(
            loaded.inspector.categories,
            references_of(loaded.inspector.calibration),
            budget=self.options.drift_budget,
            every=self.options.drift_every,
        )

    def save_drift(self) -> None:
        """Keep the state of the drift monitor, so that a restart does not lose it."""
        if self.drift is not None:
            state = {"model": self.versions.current.sha256, "monitor": self.drift.dump()}
            self.store.set_value(self._key("drift"), state)

    def _chosen(self, loaded: Loaded) -> list[Chosen]:
        kept = self.store.value(self._key("thresholds")) or {}
        if kept.get("model") != loaded.sha256:
            return []
        return [Chosen.model_validate(each) for each in kept["chosen"]]

    def _with_own(self, loaded: Loaded) -> Loaded:
        """Return a version with the thresholds that a person chose for it before."""
        return _with_chosen(loaded, self._chosen(loaded))

    def _kept_pictures(self) -> tuple[list[EncodedPicture], list[str | None]]:
        """Return some kept pictures, the newest first, and the products that clients named for them."""
        pictures: list[EncodedPicture] = []
        products: list[str | None] = []
        query = Query(station=self.options.station)
        while len(pictures) < _COMPARED:
            page = self.store.search(query, 200)
            for row in page.rows:
                name = row.inspection.picture
                path = self.keeper.path(name) if name else None
                if path is not None and len(pictures) < _COMPARED:
                    with suppress(OSError):
                        pictures.append(EncodedPicture(row.inspection.name, path.read_bytes()))
                        products.append(row.inspection.product_given)
            if page.next is None or page.next < 2:
                break
            query = Query(station=self.options.station, before=page.next)
        return pictures, products

    def _key(self, name: str) -> str:
        return f"{self.options.station}/{name}"


def _with_chosen(loaded: Loaded, chosen: Sequence[Chosen]) -> Loaded:
    if loaded.own is None or not chosen:
        return loaded
    return loaded.with_calibration(changed(loaded.own, chosen))
