"""The versions of a station's model: load, warm, compare on kept pictures, take over, roll back."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from understudy.errors import BundleError, InputError, PictureError, WorkError
from understudy.files import sha256_of, writing
from understudy.folders import draft_in
from understudy.runtime.decision import Calibration
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import MANIFEST
from understudy.runtime.sources import EncodedPicture
from understudy.types import Result

__all__ = ["Comparison", "Loaded", "Opener", "Versions", "copied"]


class Opener(Protocol):
    """Opens the folder of a model, trained or exported."""

    def __call__(self, folder: Path, threads: int | None = None) -> Inspector:
        """Open it, to be scored by so many threads; by the station's number if ``None``."""
        ...


MOST_CHANGED = 0.1
"""A new version takes over by itself if at most this share of the kept pictures changes its verdict."""

_COPIES = "models"
_SHORT = 16  # digits of the hash in a folder's name


@dataclass(frozen=True)
class Loaded:
    """One version of the model, ready to judge. A change makes a new object, so a call keeps its own.

    Attributes:
        name: name of the model.
        version: number of the version, from 1.
        inspector: judges pictures by the thresholds in force.
        folder: the station's own copy of the model.
        sha256: hash of its manifest.
        own: calibration of the model, without changes that were made at the station.
        lane: judges as ``inspector`` does, in the thread that asks and no other; ``None`` if its runtime
            cannot, or nobody asked for it.
    """

    name: str
    version: int
    inspector: Inspector
    folder: Path
    sha256: str
    own: Calibration | None
    lane: Inspector | None = None

    @cached_property
    def calibration_sha256(self) -> str | None:
        """Hash of the calibration in force."""
        calibration = self.inspector.calibration
        if calibration is None:
            return None
        return hashlib.sha256(calibration.model_dump_json().encode()).hexdigest()

    def with_calibration(self, calibration: Calibration | None) -> Loaded:
        """Return this version with other thresholds in force."""
        lane = self.lane and _calibrated(self.lane, calibration)
        return replace(self, inspector=_calibrated(self.inspector, calibration), lane=lane)

    def judge(self, pictures: Sequence[EncodedPicture], products: Sequence[str | None]) -> list[Result]:
        """Judge some pictures without the station's queue."""
        scorer = self.inspector.scorer
        scored = scorer.score(pictures, categories=products)
        return [self.inspector.judged(each, p) for each, p in zip(scored, products, strict=True)]

    def again(self, data: bytes, product: str | None) -> Result:
        """Judge one picture that was judged before."""
        return self.judge([EncodedPicture("picture", data)], [product])[0]


@dataclass(frozen=True)
class Comparison:
    """What a new version says about kept pictures, beside the version in force.

    Attributes:
        pictures: number of kept pictures compared.
        changed: number of them whose verdict is another one.
        failed: number of them that the new version could not judge.
        score_change: largest absolute change of a score; ``None`` without pictures.
        lost: products of the version in force that the new one does not know.
    """

    pictures: int
    changed: int
    failed: int
    score_change: float | None
    lost: tuple[str, ...]

    @property
    def refused(self) -> str | None:
        """Why the new version does not take over by itself; ``None`` if it does."""
        if self.lost:
            return f"it does not know {', '.join(self.lost)}"
        if self.failed:
            return f"it cannot judge {self.failed} of {self.pictures} kept pictures"
        if self.changed > MOST_CHANGED * self.pictures:
            return f"it gives {self.changed} of {self.pictures} kept pictures another verdict"
        return None


class Versions:
    """All versions of a station's model; one of them is in force. Safe for several threads.

    Args:
        station: folder of the station.
        opener: opens the folder of a model.
        kept: versions of earlier runs of the station, as :meth:`planned` gave them.
        lanes: whether pictures are also judged side by side, with one thread each.
    """

    def __init__(
        self, station: Path, opener: Opener, kept: Mapping[str, Any] | None = None, *, lanes: bool = False
    ) -> None:
        kept = kept or {}
        self._station = station
        self._opener = opener
        self._lanes = lanes
        self._lock = threading.Lock()  # of what is in force; held for moments
        self._opening = threading.Lock()  # of the copies; held while a model is opened
        self._known = {int(each["version"]): dict(each) for each in kept.get("versions", ())}
        self._loaded: dict[int, Loaded] = {}
        self._active = int(kept.get("active") or 0)
        self._before: int | None = kept.get("before")

    @property
    def current(self) -> Loaded:
        """The version in force."""
        return self._loaded[self._active]

    @property
    def active(self) -> int:
        """Number of the version in force, also before it is opened; 0 if there never was one."""
        return self._active

    def planned(self, loaded: Loaded) -> dict[str, Any]:
        """Return what :class:`Versions` takes as ``kept``, once a version is in force."""
        with self._lock:
            known = self._known | {loaded.version: _entry(loaded)}
            before = self._active if loaded.version != self._active else self._before
            return {"versions": list(known.values()), "active": loaded.version, "before": before or None}

    def listed(self) -> list[dict[str, Any]]:
        """Return all versions, the newest first, and which are loaded and active."""
        with self._lock:
            return [
                {
                    "version": number,
                    "name": known["name"],
                    "sha256": known["sha256"],
                    "loaded": number in self._loaded,
                    "active": number == self._active,
                }
                for number, known in sorted(self._known.items(), reverse=True)
            ]

    def prepare(self, folder: Path) -> Loaded:
        """Copy a model into the station's folder, open it there and warm it. It is not in force yet.

        A model that the station knows already keeps its number.

        Raises:
            BundleError: the folder holds no model, or a damaged one.
            WorkError: it cannot be copied.
        """
        with self._opening:
            self._opener(folder)  # a damaged model is refused before it is copied
            copy, digest = copied(folder, self._station / _COPIES)
            with self._lock:
                known = [number for number, each in self._known.items() if each["sha256"] == digest]
                number = known[0] if known else max(self._known, default=0) + 1
                names = [str(each["name"]) for each in self._known.values()]
            name = names[0] if names else name_of(folder)  # clients know the model by its first name
            return self._open(number, name, copy, digest)

    def reopen(self, number: int) -> Loaded:
        """Open a version of an earlier run.

        Raises:
            InputError: there is no such version.
            BundleError: its copy is damaged or gone.
        """
        with self._opening:
            with self._lock:
                known, loaded = self._known.get(number), self._loaded.get(number)
            if loaded is not None:
                return loaded
            if known is None:
                raise InputError(f"there is no version {number} of the model")
            folder = self._station / _COPIES / str(known["folder"])
            return self._open(number, str(known["name"]), folder, str(known["sha256"]))

    def _open(self, number: int, name: str, folder: Path, digest: str) -> Loaded:
        if sha256_of_manifest(folder) != digest:
            raise BundleError(f"version {number} of the model was changed in the station's folder")
        inspector = self._opener(folder)
        _warm(inspector)
        graph, lane = inspector.manifest.graph, None
        if self._lanes and graph is not None and graph.format == "onnx":  # one thread is the caller's own
            lane = self._opener(folder, threads=1)
            _warm(lane)
        return Loaded(name, number, inspector, folder, digest, inspector.calibration, lane)

    def take_over(self, loaded: Loaded) -> None:
        """Put a version in force. Calls that have begun end with the version that they began with."""
        with self._lock:
            self._known[loaded.version] = _entry(loaded)
            if loaded.version != self._active:
                self._before = self._active or None
            self._active = loaded.version
            self._loaded[loaded.version] = loaded
            keep = {self._active, self._before}
            self._loaded = {n: each for n, each in self._loaded.items() if n in keep}

    def previous(self) -> int:
        """Return the number of the version that a roll back puts in force.

        Raises:
            InputError: there is none.
        """
        with self._lock:
            if self._before in self._known:
                return int(self._before or 0)
        raise InputError("there is no version to roll back to")

    def compare(
        self, new: Loaded, pictures: Sequence[EncodedPicture], products: Sequence[str | None]
    ) -> Comparison:
        """Judge kept pictures by a new version and by the one in force."""
        current = self.current
        lost = tuple(sorted(set(current.inspector.categories) - set(new.inspector.categories)))
        asked = [p if p in new.inspector.categories else None for p in products]
        before, after = current.judge(pictures, products), new.judge(pictures, asked)
        both = [(b, a) for b, a in zip(before, after, strict=True) if b.ok and a.ok]
        return Comparison(
            pictures=len(pictures),
            changed=sum(b.verdict != a.verdict for b, a in both),
            failed=sum(b.ok and not a.ok for b, a in zip(before, after, strict=True)),
            score_change=max((abs(b.score - a.score) for b, a in both), default=None),
            lost=lost,
        )


def _calibrated(inspector: Inspector, calibration: Calibration | None) -> Inspector:
    return replace(inspector, scorer=replace(inspector.scorer, calibration=calibration))


def _entry(loaded: Loaded) -> dict[str, Any]:
    return {
        "version": loaded.version,
        "name": loaded.name,
        "sha256": loaded.sha256,
        "folder": loaded.folder.name,
    }


def name_of(folder: Path) -> str:
    """Return the name of a model: the name of its folder, of letters that a URL takes as they are."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in folder.resolve().name)
    return name.strip(".-") or "model"


def sha256_of_manifest(folder: Path) -> str | None:
    """Return the hash of a model's manifest, which has the hashes of all other files; ``None`` if missing."""
    try:
        return sha256_of(folder / MANIFEST)
    except OSError:
        return None


def copied(model: Path, copies: Path) -> tuple[Path, str]:
    """Copy a model into a folder of copies, where nobody changes it; return the copy and its hash.

    Raises:
        BundleError: the model changed while it was copied.
        WorkError: there is no room for it, or the folder cannot be written.
    """
    digest = sha256_of_manifest(model)
    if digest is None:
        raise BundleError(f"{model} holds no model; name one that understudy fit or export wrote")
    target = copies / digest[:_SHORT]
    if sha256_of_manifest(target) == digest:
        return target, digest
    if target.exists():
        raise WorkError(f"{target} is not the copy that the station wrote; move it away")
    with writing(copies):
        copies.mkdir(parents=True, exist_ok=True)
    with writing(copies), draft_in(copies) as draft:
        for path in sorted(model.iterdir()):
            if path.is_file() and not path.name.startswith(".understudy"):
                shutil.copyfile(path, draft / path.name)
        if sha256_of_manifest(draft) != digest:
            raise BundleError(f"{model} changed while it was copied; try again")
        draft.rename(target)
    return target, digest


def _warm(inspector: Inspector) -> None:
    """Judge one grey picture, so that the first real one is not slow; a model that cannot is refused."""
    grey = np.full((64, 64, 3), 128, np.uint8)
    found = next(inspector.scorer.score([grey]))
    if isinstance(found, PictureError):
        raise BundleError(f"{inspector.folder} cannot judge pictures: {found}")
