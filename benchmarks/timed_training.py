"""One training as ``understudy fit`` does it, and what its steps cost. Several scripts share this."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from memory import peak_mib
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill.network import resolve_device
from understudy.distill.precision import resolve_precision
from understudy.distill.teacher import default_strides
from understudy.distill.weights import load_teacher
from understudy.lab.factory.write import FactoryPlan, write_factory
from understudy.methods import METHODS, build, settings_for
from understudy.progress import Reporter
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS
from understudy.train.cache import cache_for
from understudy.train.loop import train
from understudy.train.plan import TrainingPlan
from understudy.types import PrecisionChoice

__all__ = ["good_pictures", "timed_training"]


def good_pictures(folder: Path, side: int, each: int = 16) -> Path:
    """Make synthetic pictures to learn from, so many in each category."""
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
    precision: PrecisionChoice,
    cache_features: str = "off",
    compiled: bool = False,
) -> dict[str, Any]:
    """Train once and time the reports of progress.

    Args:
        data: folder of pictures.
        method: name of the method; it has its default settings and starts from seed 0.
        teacher: timm name of the teacher.
        weights: weights of the teacher: a file, the word ``random``, or nothing for its own.
        steps: steps of the training, at least 20, because progress is reported every ten.
        batch_size: pictures a step.
        image_size: side of the network's input.
        precision: precision of the training, as ``fit`` takes it.
        cache_features: where features are kept, as ``fit`` takes it.
        compiled: train through torch.compile.

    Returns:
        ``computed_in`` (the precision), ``pictures``, ``step_ms`` (median between reports),
        ``first_report_s`` (from the start to the end of the first ten steps), ``filling_s`` (time to fill the
        cache), ``features_mb``, ``loss`` (of the last step), ``peak_mib``.
    """
    torch.manual_seed(0)
    strides, device = default_strides(teacher, image_size), resolve_device("auto")
    network, look, source = load_teacher(teacher, strides, weights or None, image_size)
    preprocess = Preprocess(image_size=image_size, mean=look.mean, std=look.std)
    card = TeacherCard(name=network.name, strides=strides, origin=source.origin, sha256=source.sha256)
    distiller = build(method, network, settings_for(method))
    computed = resolve_precision(precision, device)
    plan = TrainingPlan(
        steps=steps,
        batch_size=batch_size,
        optimiser=METHODS[method].recipes["paper"].optimiser,
        seed=0,
        precision=computed,
        device=device,
        checkpoint_every=steps,
        compiled=compiled,
    )
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
