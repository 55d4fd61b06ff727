"""One training, as ``understudy fit`` makes it, and what its steps cost: shared by several scripts."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from memory import peak_mib
from understudy.lab.factory import FactoryPlan, write_factory
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.network import resolve_device, resolve_precision
from understudy.distill.teacher import default_strides
from understudy.distill.weights import load_teacher
from understudy.train.features import cache_for
from understudy.train.loop import Plan, train
from understudy.methods import METHODS, build, settings_for
from understudy.progress import Reporter
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS

__all__ = ["good_pictures", "timed_training"]


def good_pictures(folder: Path, side: int, each: int = 16) -> Path:
    """Make synthetic pictures to learn from, so many a category."""
    write_factory(folder, FactoryPlan(train=each, good=0, each_defect=0, size=side))
    return folder


def timed_training(
    data: Path,
    *,
    method: str,
    teacher: str,
    weights: str,
    steps: int,
    batch_size: int,
    image_size: int,
    precision: str,
    cache_features: str = "off",
    compiled: bool = False,
) -> dict[str, Any]:
    """Train once, without progress but that which is timed.

    Args:
        data: pictures.
        method: with its default settings, from seed 0.
        teacher: timm name.
        weights: of the teacher: a file, the word ``random``, or nothing for its own.
        steps: at least 20: progress is told every ten.
        batch_size: pictures a step.
        image_size: side of the network's input.
        precision: as ``fit`` takes it.
        cache_features: likewise.
        compiled: train through torch.compile.

    Returns:
        ``computed_in`` (the precision), ``pictures``, ``step_ms`` (median over reports, the first left out),
        ``first_report_s`` (from the start to the first ten steps' end), ``filling_s`` (of the cache),
        ``features_mb``, ``loss`` (of the last step), ``peak_mib``.
    """
    torch.manual_seed(0)
    strides, device = default_strides(teacher, image_size), resolve_device("auto")
    network, look, source = load_teacher(teacher, strides, weights or None, image_size)
    preprocess = Preprocess(image_size=image_size, mean=look.mean, std=look.std)
    card = TeacherCard(name=network.name, strides=strides, origin=source.origin, sha256=source.sha256)
    distiller = build(method, network, settings_for(method))
    computed = resolve_precision(precision, device)  # type: ignore[arg-type]
    optimiser = METHODS[method].recipes["paper"].optimiser
    plan = Plan(steps, batch_size, optimiser, 0, computed, device, steps, compiled)
    pictures = PictureStore([r.path for r in open_pictures(data).train()], preprocess)
    began = time.perf_counter()
    cache = cache_for(
        cache_features, distiller, card, preprocess, NO_ROIS, plan, len(pictures), 2**40, Reporter(say=print)
    )
    features = cache.keep(pictures, Reporter()) if cache else None
    filling = time.perf_counter() - began
    if features is not None:
        pictures.release()
    reports: list[tuple[int, float]] = []

    def note(what: str, done: int, total: int, text: str) -> None:
        reports.append((done, time.perf_counter()))

    began = time.perf_counter()
    with TemporaryDirectory() as folder:
        trained = train(
            distiller,
            pictures,
            preprocess,
            plan,
            Path(folder),
            description="benchmark",
            features=features,
            advance=note,
        )
    gaps = [(t1 - t0) / (s1 - s0) for (s0, t0), (s1, t1) in pairwise(reports)]
    return {
        "computed_in": computed,
        "pictures": len(pictures),
        "step_ms": round(1000 * median(gaps), 2),
        "first_report_s": round(reports[0][1] - began, 2),
        "filling_s": round(filling, 2),
        "features_mb": round(cache.memory / 1e6, 1) if cache else 0,
        "loss": None if trained.loss is None else round(trained.loss, 5),
        "peak_mib": peak_mib(),
    }
