"""Pictures of a training -> what is kept of them in memory, within one budget: windows, or features."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from understudy.data.features import FeatureStore
from understudy.data.memory import budget_of, statement, worker_count
from understudy.data.records import Record
from understudy.data.store import PictureStore, count_windows
from understudy.distill.distiller import Distiller
from understudy.fitting.dividing import Parts
from understudy.fitting.feature_cache import cache_for
from understudy.fitting.options import FitOptions
from understudy.fitting.training import Plan
from understudy.reporter import Advance, Reporter, ignore_progress
from understudy.runtime.bundle import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois, takes_care

__all__ = ["Given", "gather", "store_of", "windows_of"]


@dataclass(frozen=True)
class Given:
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


def gather(
    asked: FitOptions,
    parts: Parts,
    distiller: Distiller,
    card: TeacherCard,
    preprocess: Preprocess,
    rois: Rois,
    n: int,
    plan: Plan,
    reporter: Reporter,
) -> Given:
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
    channels = 3 + takes_care(preprocess, rois)
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
    return Given(pictures, features, validation, seconds)


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
