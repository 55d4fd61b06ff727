"""Teacher features computed once against at each step: time of a training step and peak memory.

    python benchmarks/feature_cache.py --out benchmarks/results/feature_cache.csv

Both ways alternate (A-B-A-B), each training in a process of its own, on synthetic pictures in memory.
A step's time is the median over reports of the progress, the first one left out; filling the cache is
told apart. Rows are added as runs finish; a run whose rows are there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from apart import print_rows, run_missing
from machine import provenance, read
from memory import peak_mib
from understudy.data.factory import FactoryPlan, write_factory
from understudy.data.folder import open_pictures
from understudy.data.store import PictureStore
from understudy.device import resolve_device, resolve_precision
from understudy.distill.teacher import EMBEDDED_TEACHER, default_strides
from understudy.distill.weights import load_teacher
from understudy.fitting.feature_cache import cache_for
from understudy.fitting.training import Plan, train
from understudy.methods import METHODS, build, settings_for
from understudy.reporter import Reporter
from understudy.runtime.bundle import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS

WAYS = ("off", "auto")
FIGURES = ("computed_in", "pictures", "step_ms", "filling_s", "features_mb", "peak_mib")


def main() -> None:
    """Run what is missing, round by round, and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="pictures in MVTec AD layout; synthetic ones by default")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="rd,snl-rd")
    parser.add_argument("--teacher", default=EMBEDDED_TEACHER)
    parser.add_argument("--weights", default="", help="a file, or the word random")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--precision", choices=("auto", "32", "bf16"), default="auto")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    names = ("teacher", "weights", "steps", "batch_size", "image_size", "precision")
    common = {name: getattr(asked, name) for name in names}
    with TemporaryDirectory() as made:
        data = asked.data or good_pictures(Path(made), asked.image_size)
        for method in asked.methods.split(","):
            for number in range(asked.rounds):
                for way in WAYS:
                    job = {"method": method, "cache_features": way, "number": number} | common
                    run_missing(__file__, data, asked.out, job)
    for line in ratios(read(asked.out)):
        print(line)


def good_pictures(folder: Path, side: int, each: int = 16) -> Path:
    """Make synthetic pictures to learn from, so many a category."""
    write_factory(folder, FactoryPlan(train=each, good=0, each_defect=0, size=side))
    return folder


def run(
    data: Path,
    method: str,
    cache_features: str,
    number: int,
    teacher: str,
    weights: str,
    steps: int,
    batch_size: int,
    image_size: int,
    precision: str,
) -> dict[str, Any]:
    """Train once: one row."""
    key = {k: v for k, v in locals().items() if k != "data"}
    torch.manual_seed(0)
    strides, device = default_strides(teacher), resolve_device("auto")
    network, look, source = load_teacher(teacher, strides, weights or None, image_size)
    preprocess = Preprocess(image_size=image_size, mean=look.mean, std=look.std)
    card = TeacherCard(name=network.name, strides=strides, origin=source.origin, sha256=source.sha256)
    distiller = build(method, network, settings_for(method))
    computed = resolve_precision(precision, device)  # type: ignore[arg-type]
    plan = Plan(steps, batch_size, METHODS[method].recipe.optimiser, 0, computed, device, steps)
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

    with TemporaryDirectory() as folder:
        train(
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
    figures = (
        computed,
        len(pictures),
        round(1000 * median(gaps), 2),
        round(filling, 2),
        round(cache.memory / 1e6, 1) if cache else 0,
        peak_mib(),
    )
    return key | dict(zip(FIGURES, figures, strict=True)) | provenance()


def ratios(rows: list[dict[str, str]]) -> list[str]:
    """One line a method: computed once over computed at each step, medians over rounds, and the ranges."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        parts = []
        for figure in ("step_ms", "peak_mib"):
            off, once = (
                sorted(
                    float(row[figure])
                    for row in rows
                    if (row["method"], row["cache_features"]) == (method, way)
                )
                for way in WAYS
            )
            parts.append(
                f"{figure} {median(off):g} ({off[0]:g}..{off[-1]:g}) -> "
                f"{median(once):g} ({once[0]:g}..{once[-1]:g}), ratio {median(once) / median(off):.2f}"
            )
        lines.append(f"{method}: {'; '.join(parts)}")
    return lines


if __name__ == "__main__":
    main()
