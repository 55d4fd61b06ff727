"""What a training keeps in memory: windows of good pictures, or the frozen teacher's features of them."""

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
    LevelLayout,
    bytes_of,
    keep_in_memory,
    read_features,
    write_features,
)
from understudy.data.memory import budget_of, memory_statement, readable, worker_count
from understudy.data.records import Record
from understudy.data.store import PictureStore, count_windows
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser, float32_products
from understudy.distill.teacher import Teacher
from understudy.errors import InputError, WorkError
from understudy.progress import Advance, Reporter, ignore_progress
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois, uses_valid_mask
from understudy.train.options import FitOptions
from understudy.train.plan import TrainingPlan
from understudy.train.processes import Group
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


_PROCESSOR = torch.device("cpu")
_SHARE = 0.5  # of the memory that a GPU has left; the training needs the rest


class FeatureReader:
    """(B, S, S, 3 or 4) uint8 windows -> (B, h, w, D) features per level, as the training computes them.

    A fourth channel, the valid mask, becomes one more level; see :mod:`understudy.data.features`.

    Args:
        teacher: teacher; moved to the device of the training and left there.
        card: name and weights of the teacher.
        preprocess: turns windows into its input.
        rois: which pixels count.
        plan: plan of the training.

    Attributes:
        layouts: layout of each level.
        origin: digest of everything that decides the features of a window.
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
        self.layouts = [LevelLayout((f.shape[1], f.shape[2], f.shape[3]), f.dtype) for f in probe]
        what = (
            card.name,
            card.strides,
            *((card.blocks,) if card.blocks else ()),  # older caches have none
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
        autocast = torch.autocast(self._device.type, torch.bfloat16, enabled=bf16)
        with torch.no_grad(), float32_products("high", self._device), autocast:
            features = self._teacher(images)
        levels = [level.permute(0, 2, 3, 1).contiguous().cpu() for level in features]
        return [*levels, windows[..., 3:].contiguous()] if windows.shape[-1] == 4 else levels


@dataclass(frozen=True)
class FeatureCache:
    """Teacher features that are computed once, in memory or in files.

    Attributes:
        reader: computes them.
        batch_size: batch size of the training; other batch sizes may round differently.
        folder: folder for the files; ``None`` keeps features in memory.
        memory: bytes of the processor's memory that they take.
        device: device that holds features kept in memory; a GPU where they fit beside the training.
    """

    reader: FeatureReader
    batch_size: int
    folder: Path | None
    memory: int
    device: torch.device = _PROCESSOR

    def keep(self, pictures: PictureStore, reporter: Reporter) -> FeatureStore | None:
        """Compute the features of all windows, or read those that an earlier run left in the folder.

        Returns:
            The features; ``None``, after a line that says why, if the folder has no room. The result of the
            training is the same without them.
        """
        n, layouts = len(pictures), self.reader.layouts
        parts = self._parts(pictures, reporter)
        if self.folder is None:
            return keep_in_memory(n, layouts, parts, self.device)
        what = f"the teacher's features of {n} pictures ({readable(n * bytes_of(layouts))})"
        stored = read_features(self.folder, self.reader.origin, pictures.names, reporter.say)
        if stored is not None:
            reporter.say(f"{what} are read from {self.folder}")
            return stored
        reporter.say(f"{what} are computed once and kept in {self.folder}")
        try:
            return write_features(self.folder, self.reader.origin, pictures.names, layouts, parts)
        except WorkError as error:
            reporter.say(f"{error}; until then features are computed at each step")
            return None

    def _parts(self, pictures: PictureStore, reporter: Reporter) -> Iterator[list[Tensor]]:
        """Yield features in order, a batch at a time; the last batch is filled up from the one before it."""
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
    """Decide whether features are computed once, and report it.

    Args:
        choice: ``auto``, ``off`` or a folder.
        distiller: distiller before the training.
        card: name and weights of its teacher.
        preprocess: turns pictures into windows.
        rois: which pixels count.
        plan: plan of the training.
        n: number of windows to learn from.
        budget: bytes of memory that features may take.
        reporter: takes the line.

    Returns:
        The cache; ``None`` if features are computed at each step.

    Raises:
        InputError: the folder cannot be made, or is of no use because the student looks at the pictures too.
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
    fits_the_gpu = size <= _SHARE * _free_on(plan.device)
    if plan.steps * plan.batch_size < 2 * n:
        reporter.say(f"{what} are computed at each step: no picture is seen twice")
    elif fits_the_gpu:
        reporter.say(f"{what} are computed once and kept on the GPU in place of the pictures")
        return FeatureCache(reader, plan.batch_size, None, memory=0, device=plan.device)
    elif size > budget:
        reporter.say(
            f"{what} exceed the cache of {readable(budget)} and are computed at each step; "
            "--cache-features DIR keeps them in files"
        )
    else:
        reporter.say(f"{what} are computed once and kept in memory in place of the pictures")
        return FeatureCache(reader, plan.batch_size, None, memory=size)
    return None


def _free_on(device: torch.device) -> int:
    """Return the bytes of memory that a GPU has left; 0 for a processor."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _made(folder: Path) -> Path:
    """Create a folder for features and return it."""
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
        pictures: windows to learn from.
        features: teacher features of these windows, if they are computed once; else ``None``.
        validation: windows to validate with.
        seconds: time that computing the features took, in seconds; a part of the training's duration.
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
    group: Group,
    reporter: Reporter,
) -> TrainingData:
    """Decode every picture once, and keep windows and features within one budget of memory.

    Args:
        asked: options of the training: how much memory, and whether features are computed once.
        parts: pictures by their use.
        distiller: distiller before the training.
        card: name and weights of its teacher.
        preprocess: cuts pictures into windows.
        rois: which pixels count.
        n: number of windows to learn from.
        plan: plan of the training.
        group: processes that train together; those of one machine share its memory, and the first one of all
            writes features into a folder.
        reporter: takes messages and progress.

    Raises:
        InputError: a picture does not decode, or features cannot be kept as asked.
    """
    budget = budget_of(asked.cache) // group.local_size
    workers = worker_count(asked.workers)
    channels = 3 + uses_valid_mask(preprocess, rois)
    cache = cache_for(asked.cache_features, distiller, card, preprocess, rois, plan, n, budget, reporter)
    room = budget - cache.memory if cache else budget
    to_keep = windows_of(parts.validation, preprocess, rois) + (0 if cache else n)
    if to_keep:
        reporter.say(memory_statement(to_keep, asked.image_size, room, workers, channels))
    pictures = store_of(parts.learn, preprocess, rois, room, workers, reporter.advance)
    began = time.monotonic()
    features = _kept(cache, pictures, group, reporter) if cache else None
    seconds = time.monotonic() - began
    if features is not None:
        pictures.release()
    left = room - pictures.kept_bytes
    validation = store_of(parts.validation, preprocess, rois, left, workers)
    return TrainingData(pictures, features, validation, seconds)


def _kept(
    cache: FeatureCache, pictures: PictureStore, group: Group, reporter: Reporter
) -> FeatureStore | None:
    """Compute the features in every process; or in the first one, where the others can read them in files."""
    if cache.folder is None or group.size == 1:
        return cache.keep(pictures, reporter)
    kept: list[FeatureStore | None] = []
    group.first(lambda: kept.append(cache.keep(pictures, reporter)))
    if not group.is_first:  # a folder that only the first machine sees is of no use to others
        kept.append(read_features(cache.folder, cache.reader.origin, pictures.names, reporter.say))
    return kept[0]


def store_of(
    records: Sequence[Record],
    preprocess: Preprocess,
    rois: Rois,
    budget: int,
    workers: int = 0,
    advance: Advance = ignore_progress,
) -> PictureStore:
    """Return the windows of some pictures; see :class:`understudy.data.store.PictureStore`."""
    paths, categories = [r.path for r in records], [r.category for r in records]
    return PictureStore(paths, preprocess, budget, workers, advance, rois, categories)


def windows_of(records: Sequence[Record], preprocess: Preprocess, rois: Rois) -> int:
    """Return the number of windows of some pictures; see :func:`understudy.data.store.count_windows`."""
    return count_windows([r.path for r in records], [r.category for r in records], preprocess, rois)
