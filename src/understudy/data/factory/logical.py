"""Write the kit's pictures, masks and their explanation to a folder, in MVTec LOCO layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from understudy.data.factory.assortment import arrange, assemble
from understudy.data.factory.canvas import expose
from understudy.data.factory.faults import LOGICAL, STRUCTURAL, Fault
from understudy.data.factory.files import Files, generator, write_files
from understudy.data.factory.parts import PARTS, area_of
from understudy.data.loco import DEFECTS_CONFIG
from understudy.reporter import Advance, ignore_progress
from understudy.runtime.bundle import write_json

__all__ = ["CATEGORY", "LogicalPlan", "defects_config", "write_logical"]

CATEGORY = "kit"
_FAULTS = {"logical_anomalies": LOGICAL, "structural_anomalies": STRUCTURAL}


@dataclass(frozen=True)
class LogicalPlan:
    """How much to make.

    Attributes:
        train: good pictures to learn from.
        validation: good pictures to set aside.
        good: good test pictures.
        each_defect: test pictures of every kind of broken rule and of damage.
        size: side in pixels.
        seed: of everything; a picture depends on it, its split, its kind and its number alone.
    """

    train: int = 80
    validation: int = 20
    good: int = 24
    each_defect: int = 6
    size: int = 256
    seed: int = 0


def write_logical(root: Path, plan: LogicalPlan | None = None, advance: Advance = ignore_progress) -> None:
    """Write the category ``kit`` below ``root`` in MVTec LOCO layout.

    Raises:
        WorkError: the folder cannot be written.
    """
    plan = plan or LogicalPlan()
    config = defects_config(plan.size)
    values = {str(entry["defect_name"]): int(str(entry["pixel_value"])) for entry in config}
    write_files(root, list(_jobs(plan)), partial(_produce, plan, values), advance)
    write_json(root / CATEGORY / DEFECTS_CONFIG, config)


def defects_config(size: int) -> list[dict[str, str | float]]:
    """What the value of a mask means, for pictures of ``size`` pixels, as ``defects_config.json`` holds it.

    A broken rule counts as found when as many pixels are as one part has; damage, when all of it is.
    """
    config: list[dict[str, str | float]] = []
    for name, kind in [(f"{name}_{kind}", kind) for name in LOGICAL for kind in sorted(PARTS)]:
        config.append(_entry(name, 255 - len(config), area_of(kind, size), relative=False))
    for name in STRUCTURAL:
        config.append(_entry(name, 255 - len(config), 1.0, relative=True))
    return config


def _entry(name: str, value: int, threshold: float, relative: bool) -> dict[str, str | float]:
    return {
        "defect_name": name,
        "pixel_value": value,
        "saturation_threshold": threshold,
        "relative_saturation": relative,
    }


class _Job(NamedTuple):
    """One picture: its folder, its number there, what draws it, and what is wrong with it."""

    split: str
    kind: str
    number: int
    rng: np.random.Generator
    fault: Fault | None


def _jobs(plan: LogicalPlan) -> Iterator[_Job]:
    for split, count in (("train", plan.train), ("validation", plan.validation), ("test", plan.good)):
        for i in range(count):
            yield _Job(split, "good", i, generator(plan.seed, f"{CATEGORY}/{split}/good", i), None)
    for kind, faults in _FAULTS.items():
        for start, (name, fault) in enumerate(faults.items()):
            for i in range(plan.each_defect):
                rng = generator(plan.seed, f"{CATEGORY}/test/{name}", i)
                yield _Job("test", kind, start * plan.each_defect + i, rng, fault)


def _produce(plan: LogicalPlan, values: dict[str, int], job: _Job) -> Files:
    layout = arrange(job.rng)
    address = f"{CATEGORY}/{job.split}/{job.kind}/{job.number:03d}.png"
    if job.fault is None:
        return {address: expose(assemble(layout, plan.size).scene.picture, job.rng)}
    spoiled = job.fault(job.rng, layout, plan.size)
    masks = f"{CATEGORY}/ground_truth/{job.kind}/{job.number:03d}"
    return {address: expose(spoiled.picture, job.rng)} | {
        f"{masks}/{i:03d}.png": mask.astype(np.uint8) * np.uint8(values[name])
        for i, (name, mask) in enumerate(spoiled.masks)
    }
