"""What people change at a station: the model, its thresholds, the watch for drift; and the log of it.

Changes come one after the other. Each is written to the database first: one that cannot be kept is not made.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from understudy.errors import InputError
from understudy.runtime.decision import thresholds_for
from understudy.runtime.sources import EncodedPicture
from understudy.station.archive import Query, Store, StoreError
from understudy.station.chosen import Chosen, changed, require_product
from understudy.station.config import StationOptions
from understudy.station.drift import DriftMonitor, references_of
from understudy.station.inspection import Change
from understudy.station.intake import ConflictError
from understudy.station.keeping import Keeper
from understudy.station.telemetry import log_event
from understudy.station.versions import Comparison, Loaded, Opener, Versions, sha256_of_manifest

__all__ = ["Control"]

_COMPARED, _COMPARED_BYTES, _PAGES = 50, 256 * 2**20, 20  # kept pictures that a new version is compared on
_UNLOGGED = 1000  # lines of the audit log that wait for the database
_LOG = logging.getLogger("understudy.station")


class Control:
    """The model in force and what belongs to it. Safe for several threads.

    Args:
        options: options of the station.
        opener: opens the folder of a model.
        store: the database.
        keeper: keeper of the pictures.

    Attributes:
        versions: versions of the model.
        drift: watches for drift; ``None`` before a model is in force.
    """

    def __init__(self, options: StationOptions, opener: Opener, store: Store, keeper: Keeper) -> None:
        self._options, self._store, self._keeper = options, store, keeper
        kept = store.value(self._key("versions"))
        self.versions = Versions(options.folder, opener, kept, lanes=options.lanes > 1)
        self.drift: DriftMonitor | None = None
        self._source: Path | None = None
        self._turn = threading.RLock()
        self._unlogged: deque[Change] = deque(maxlen=_UNLOGGED)

    def start(self, model: Path | None = None) -> Loaded:
        """Put a model in force: a folder, or the version that was in force when the station stopped.

        Raises:
            BundleError: the model is damaged.
            InputError: no model was named, and the station never had one.
        """
        with self._turn:
            if model is None and not self.versions.active:
                raise InputError(f"{self._options.folder} has no model yet; name one: understudy serve MODEL")
            versions = self.versions
            self._take_over(versions.reopen(versions.active) if model is None else versions.prepare(model))
            self._source = model
            return self.versions.current

    def load(self, model: Path, who: str, *, force: bool = False) -> tuple[Loaded, Comparison]:
        """Load a new version of the model, compare it on kept pictures, and put it in force.

        Raises:
            BundleError: the model is damaged.
            ConflictError: it differs too much on the kept pictures, and ``force`` is false.
            StoreError: the change cannot be kept; then it is not made.
        """
        with self._turn:
            new = self._with_own(self.versions.prepare(model))
            comparison = self.versions.compare(new, *self._kept_pictures())
            if comparison.refused and not force:
                raise ConflictError(f"the new version was not put in force: {comparison.refused}")
            before = self.versions.current.version
            self._take_over(new)
            self._source = model
            self.log(who, "model", {"before": before, "after": new.version, **vars(comparison)})
            return new, comparison

    def roll_back(self, who: str, leaving: int | None = None) -> Loaded:
        """Put the version before in force.

        Args:
            who: who asks.
            leaving: number of the version to leave, so that a repeated call changes nothing more.

        Raises:
            BundleError: its copy is damaged.
            ConflictError: another version than ``leaving`` is in force.
            InputError: there is no version before.
            StoreError: the change cannot be kept; then it is not made.
        """
        with self._turn:
            before = self.versions.current.version
            if leaving not in (None, before):
                raise ConflictError(f"version {leaving} is not in force any more; version {before} is")
            loaded = self.versions.reopen(self.versions.previous())
            self._take_over(loaded)
            self._source = None
            self.log(who, "roll back", {"before": before, "after": loaded.version})
            return loaded

    def _take_over(self, loaded: Loaded) -> None:
        loaded = self._with_own(loaded)
        self._store.set_value(self._key("versions"), self.versions.planned(loaded))
        kept = self._store.value(self._key("drift"))
        self.versions.take_over(loaded)
        if kept and kept.get("model") == loaded.sha256:
            self.drift = DriftMonitor.load(kept["monitor"])
            return
        self.drift = DriftMonitor(
            loaded.inspector.categories,
            references_of(loaded.own),
            budget=self._options.drift_budget,
            every=self._options.drift_every,
        )

    def set_thresholds(self, chosen: Chosen, who: str) -> None:
        """Put thresholds in force that a person chose, for the model in force.

        Raises:
            InputError: the model is not calibrated, or does not know the product.
            StoreError: the change cannot be kept; then it is not made.
        """
        with self._turn:
            current = self.versions.current
            used = require_product(current.inspector.calibration, current.inspector.categories, chosen)
            before = thresholds_for(used, chosen.product)
            others = [each for each in self._chosen(current) if each.product != chosen.product]
            everything = [*others, chosen]
            kept = {"chosen": [each.model_dump() for each in everything]}
            self._store.set_value(self._thresholds_key(current), kept)
            self.versions.take_over(_with_chosen(current, everything))
            numbers = {"review_above", "fail_above"}
            after: dict[str, object] = {"after": chosen.model_dump(include=numbers)}
            detail = {"product": chosen.product, "before": before.model_dump(include=numbers)}
            self.log(who, "thresholds", detail | after)

    def _chosen(self, loaded: Loaded) -> list[Chosen]:
        """Return the thresholds that people chose for a version before."""
        kept = self._store.value(self._thresholds_key(loaded)) or {"chosen": []}
        return [Chosen.model_validate(each) for each in kept["chosen"]]

    def _with_own(self, loaded: Loaded) -> Loaded:
        return _with_chosen(loaded, self._chosen(loaded))

    def reset_drift(self, product: str | None, who: str) -> None:
        """Begin to watch a product anew, or all of them."""
        with self._turn:
            if self.drift is not None:
                self.drift.reset(product)
            self.log(who, "drift", {"reset": product or "all"})

    def save_drift(self) -> None:
        """Keep the state of the drift monitor, so that a restart does not lose it.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._turn:
            if self.drift is not None:
                state = {"model": self.versions.current.sha256, "monitor": self.drift.dump()}
                self._store.set_value(self._key("drift"), state)

    def remark(self) -> str | None:
        """Say if the folder that the model came from holds another version now."""
        digest = self._source and sha256_of_manifest(self._source)
        if digest in (None, self.versions.current.sha256):
            return None
        return "The model's folder holds another version now; load it to use it."

    def log(self, who: str, action: str, detail: dict[str, object]) -> None:
        """Write a line of the audit log; while the database is gone, lines wait for it."""
        station = self._options.station
        self._unlogged.append(
            Change(time=datetime.now(UTC), station=station, who=who, action=action, detail=detail)
        )
        log_event(_LOG, action, who=who, detail=detail)
        with suppress(StoreError):
            self.write_log()

    def write_log(self) -> None:
        """Write the lines of the audit log that wait.

        Raises:
            StoreError: the database cannot be written; the lines still wait.
        """
        with self._turn:
            while self._unlogged:
                self._store.log(self._unlogged[0])
                self._unlogged.popleft()

    def _kept_pictures(self) -> tuple[list[EncodedPicture], list[str | None]]:
        """Return some kept pictures, the newest first, and the products that clients named for them."""
        pictures: list[EncodedPicture] = []
        products: list[str | None] = []
        before, total = None, 0
        for _ in range(_PAGES):
            page = self._store.search(Query(station=self._options.station, before=before), 200)
            for row in page.rows:
                name = row.inspection.picture
                path = self._keeper.path(name) if name else None
                if path is None or len(pictures) == _COMPARED or total > _COMPARED_BYTES:
                    continue
                with suppress(OSError):  # removed for room just now
                    pictures.append(EncodedPicture(row.inspection.name, path.read_bytes()))
                    products.append(row.inspection.product_given)
                    total += len(pictures[-1].data)
            before = page.next
            if before is None:
                break
        return pictures, products

    def _key(self, name: str) -> str:
        return f"{self._options.station}/{name}"

    def _thresholds_key(self, loaded: Loaded) -> str:
        return self._key(f"thresholds/{loaded.sha256}")


def _with_chosen(loaded: Loaded, chosen: Sequence[Chosen]) -> Loaded:
    if loaded.own is None or not chosen:
        return loaded
    return loaded.with_calibration(changed(loaded.own, chosen))
