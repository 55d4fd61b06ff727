"""Good pictures -> what a training keeps of them in memory: windows, or the frozen teacher's features."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from understudy.data.features import (
    FeatureStore,
    Layout,
    bytes_of,
    keep_in_memory,
    read_features,
    write_features,
)
from understudy.data.memory import budget_of, readable, statement, worker_count
from understudy.data.records import Record
from understudy.data.store import PictureStore, count_windows
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser
from understudy.distill.teacher import Teacher
from understudy.errors import InputError, WorkError
from understudy.progress import Advance, Reporter, ignore_progress
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois, uses_valid_mask
from understudy.train.options import FitOptions
from understudy.train.plan import TrainingPlan
from understudy.train.split import Parts

__all__ = [
    "FeatureCache",
    "FeatureReader",
    "TrainingData",
    "cache_for",
    "load_training_data",
    "store_of",
    "windows_of",
]


class FeatureReader:
    """(B, S, S, 3 or 4) uint8 windows -> (B, h, w, D) features a level, as a training computes them.

    Of four channels the last becomes one level more; see :mod:`understudy.data.features`.

    Args:
        teacher: brought to the training's device and left there.
        card: names it and its weights.
        preprocess: turns pictures into its input.
        rois: which pixels count.
        plan: of the training.

    Attributes:
        layouts: of each level.
        origin: digest of all that decides a window's features.
    """

    def __init__(
        self, teacher: Teacher, card: TeacherCard, preprocess: Preprocess, rois: Rois, plan: TrainingPlan
    ) -> None:
        self._device, self._precision = plan.device, plan.precision
        self._teacher = teacher.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._inputs = Normaliser(preprocess).to(plan.device)
        side = preprocess.image_size
        channels = 3 + uses_valid_mask(preprocess, rois)
        probe = self(torch.zeros((1, side, side, channels), dtype=torch.uint8))
        self.layouts = [Layout((f.shape[1], f.shape[2], f.shape[3]), f.dtype) for f in probe]
        what = (
            card.name,
            card.strides,
            card.sha256,
            preprocess,
            rois.digest,
            plan.precision,
            plan.device.type,
            self.layouts,
        )
        self.origin = hashlib.sha256(repr(what).encode()).hexdigest()

    def __call__(self, windows: Tensor) -> list[Tensor]:  # noqa: D102
        (images, _), bf16 = self._inputs(windows.to(self._device)), self._precision == "bf16"
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
            features = self._teacher(images)
        levels = [level.permute(0, 2, 3, 1).contiguous().cpu() for level in features]
        return [*levels, windows[..., 3:].contiguous()] if windows.shape[-1] == 4 else levels


@dataclass(frozen=True)
class FeatureCache:
    """Features that are computed once.

    Attributes:
        reader: computes them.
        batch_size: of the training; batches of another size may be rounded otherwise.
        folder: for their files; ``None`` keeps them in memory.
        memory: bytes of memory that they take.
    """

    reader: FeatureReader
    batch_size: int
    folder: Path | None
    memory: int

    def keep(self, pictures: PictureStore, reporter: Reporter) -> FeatureStore | None:
        """Compute the features of all pictures, or read what an earlier run has left in the folder.

        ``None``, after a line that says why, where a folder has no room: the result is the same without.
        """
        n, layouts = len(pictures), self.reader.layouts
        parts = self._parts(pictures, reporter)
        if self.folder is None:
            return keep_in_memory(n, layouts, parts)
        what = f"the teacher's features of {n} pictures ({readable(n * bytes_of(layouts))})"
        found = read_features(self.folder, self.reader.origin, pictures.names, reporter.say)
        if found is not None:
            reporter.say(f"{what} are read from {self.folder}")
            return found
        reporter.say(f"{what} are computed once and kept in {self.folder}")
        try:
            return write_features(self.folder, self.reader.origin, pictures.names, layouts, parts)
        except WorkError as error:
            reporter.say(f"{error}; until then features are computed at each step")
            return None

    def _parts(self, pictures: PictureStore, reporter: Reporter) -> Iterator[list[Tensor]]:
        """Features in order, a batch at a time; the last batch is filled up from the one before it."""
        n = len(pictures)
        for done in range(0, n, self.batch_size):
            start, stop = max(0, min(done, n - self.batch_size)), min(done + self.batch_size, n)
            features = self.reader(torch.stack([pictures[i] for i in range(start, stop)]))
            reporter.advance("features", stop, n, "")
            yield [level[done - start :] for level in features]


def cache_for(
    choice: str,
    distiller: Distiller,
    card: TeacherCard,
    preprocess: Preprocess,
    rois: Rois,
    plan: TrainingPlan,
    n: int,
    budget: int,
    reporter: Reporter,
) -> FeatureCache | None:
    """Decide whether features are computed once, and say so; ``None`` computes them at each step.

    Args:
        choice: ``auto``, ``off`` or a folder.
        distiller: before the training.
        card: names its teacher.
        preprocess: of pictures.
        rois: which pixels count.
        plan: of the training.
        n: windows to learn from.
        budget: bytes of memory that features may take.
        reporter: takes the line.

    Raises:
        InputError: a folder is asked for that cannot be made, or that is of no use since the student
            looks at the pictures too.
    """
    if choice == "off" or (choice == "auto" and distiller.sees_pictures):
        return None
    if distiller.sees_pictures:
        raise InputError(
            "this method's student looks at the pictures themselves, so that features kept in a folder "
            "save nothing; leave out --cache-features"
        )
    folder = None if choice == "auto" else _made(Path(choice))
    reader = FeatureReader(distiller.teacher, card, preprocess, rois, plan)
    if folder:
        return FeatureCache(reader, plan.batch_size, folder, memory=0)
    size = n * bytes_of(reader.layouts)
    what = f"the teacher's features of {n} pictures ({readable(size)})"
    if plan.steps * plan.batch_size < 2 * n:
        reporter.say(f"{what} are computed at each step: no picture is seen twice")
    elif size > budget:
        reporter.say(
            f"{what} exceed the cache of {readable(budget)} and are computed at each step; "
            "--cache-features DIR keeps them in files"
        )
    else:
        reporter.say(f"{what} are computed once and kept in memory in place of the pictures")
        return FeatureCache(reader, plan.batch_size, None, memory=size)
    return None


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot hold features: {error.strerror or error}; name a folder with --cache-features"
        ) from error
    return folder


@dataclass(frozen=True)
class TrainingData:
    """What a training learns from and validates with.

    Attributes:
        pictures: to learn from.
        features: of those pictures, where they are computed once.
        validation: pictures.
        seconds: that computing the features took: a part of the training.
    """

    pictures: PictureStore
    features: FeatureStore | None
    validation: PictureStore
    seconds: float


def load_training_data(
    asked: FitOptions,
    parts: Parts,
    distiller: Distiller,
    card: TeacherCard,
    preprocess: Preprocess,
    rois: Rois,
    n: int,
    plan: TrainingPlan,
    reporter: Reporter,
) -> TrainingData:
    """Decode every picture once; windows and features together stay within one budget of memory.

    Args:
        asked: says how much memory, and whether features are computed once.
        parts: the pictures.
        distiller: before the training.
        card: names its teacher.
        preprocess: cuts pictures into windows.
        rois: which pixels count.
        n: windows to learn from.
        plan: of the training.
        reporter: takes what is said, and progress.

    Raises:
        InputError: a picture does not decode, or features cannot be kept as asked.
    """
    budget, workers = budget_of(asked.cache), worker_count(asked.workers)
    channels = 3 + uses_valid_mask(preprocess, rois)
    cache = cache_for(asked.cache_features, distiller, card, preprocess, rois, plan, n, budget, reporter)
    room = budget - cache.memory if cache else budget
    to_keep = windows_of(parts.validation, preprocess, rois) + (0 if cache else n)
    if to_keep:
        reporter.say(statement(to_keep, asked.image_size, room, workers, channels))
    pictures = store_of(parts.learn, preprocess, rois, room, workers, reporter.advance)
    began = time.monotonic()
    features = cache.keep(pictures, reporter) if cache else None
    seconds = time.monotonic() - began
    if features is not None:
        pictures.release()
    left = room - pictures.kept_bytes
    validation = store_of(parts.validation, preprocess, rois, left, workers)
    return TrainingData(pictures, features, validation, seconds)


def store_of(
    records: Sequence[Record],
    preprocess: Preprocess,
    rois: Rois,
    budget: int,
    workers: int = 0,
    advance: Advance = ignore_progress,
) -> PictureStore:
    """Windows of some pictures; see :class:`understudy.data.store.PictureStore`."""
    paths, categories = [r.path for r in records], [r.category for r in records]
    return PictureStore(paths, preprocess, budget, workers, advance, rois, categories)


def windows_of(records: Sequence[Record], preprocess: Preprocess, rois: Rois) -> int:
    """How many windows some pictures have; see :func:`understudy.data.store.count_windows`."""
    return count_windows([r.path for r in records], [r.category for r in records], preprocess, rois)
