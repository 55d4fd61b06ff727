"""Write the pictures and masks of the synthetic products and of the kit to a folder."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.published import DEFECTS_CONFIG
from understudy.files import write_json, writing
from understudy.lab.factory.defects import DEFECTS, spoil
from understudy.lab.factory.kit import LOGICAL, STRUCTURAL, KitFault, arrange, assemble
from understudy.lab.factory.scenes import PARTS, PRODUCTS, area_of, expose
from understudy.progress import Advance, ignore_progress

__all__ = [
    "CATEGORY",
    "FactoryPlan",
    "Files",
    "LogicalPlan",
    "defects_config",
    "generator",
    "write_factory",
    "write_files",
    "write_logical",
]


Job = TypeVar("Job")
Files = Mapping[str, NDArray[np.uint8]]
"""Path below the folder -> picture, (S, S, 3), or mask, (S, S)."""


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """Random generator of one picture; it depends only on the seed, the name and the number."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), number])


def write_files(root: Path, jobs: Sequence[Job], produce: Callable[[Job], Files], advance: Advance) -> None:
    """Make and write the files of every job.

    Args:
        root: folder for all files.
        jobs: what to make.
        produce: job -> its files.
        advance: called with ("produce", jobs done, jobs in all, "").

    Raises:
        WorkError: the folder cannot be written.
    """
    with writing(root):
        for done, job in enumerate(jobs, start=1):
            for address, pixels in produce(job).items():
                path = root / address
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
            advance("produce", done, len(jobs), "")


@dataclass(frozen=True)
class FactoryPlan:
    """How many pictures to make of each product.

    Attributes:
        train: number of good pictures to train on.
        good: number of good test pictures.
        each_defect: number of test pictures of each kind of defect.
        size: side of the pictures in pixels.
        seed: random seed. A picture depends only on the seed, its category, its kind and its number.
    """

    train: int = 60
    good: int = 15
    each_defect: int = 6
    size: int = 256
    seed: int = 0


def write_factory(root: Path, plan: FactoryPlan | None = None, advance: Advance = ignore_progress) -> None:
    """Write all products to ``root`` in MVTec AD layout.

    Args:
        root: folder for the pictures; created if it is missing.
        plan: how many pictures to make.
        advance: takes progress.

    Raises:
        WorkError: the folder cannot be written.
    """
    plan = plan or FactoryPlan()
    write_files(root, list(_jobs(plan)), partial(_produce, plan), advance)


_Product = tuple[str, str, str, int]
"""Category, split, kind and number of a picture."""


def _jobs(plan: FactoryPlan) -> Iterator[_Product]:
    for category in PRODUCTS:
        yield from ((category, "train", "good", i) for i in range(plan.train))
        yield from ((category, "test", "good", i) for i in range(plan.good))
        for kind in DEFECTS[category]:
            yield from ((category, "test", kind, i) for i in range(plan.each_defect))


def _produce(plan: FactoryPlan, job: _Product) -> Files:
    category, split, kind, number = job
    address = f"{category}/{split}/{kind}"
    rng = generator(plan.seed, address, number)
    scene = PRODUCTS[category](rng, plan.size)
    if kind == "good":
        return {f"{address}/{number:03d}.png": expose(scene.picture, rng)}
    picture, mask = spoil(rng, scene, DEFECTS[category][kind])
    return {
        f"{address}/{number:03d}.png": expose(picture, rng),
        f"{category}/ground_truth/{kind}/{number:03d}_mask.png": mask.astype(np.uint8) * 255,
    }


CATEGORY = "kit"
_FAULTS = {"logical_anomalies": LOGICAL, "structural_anomalies": STRUCTURAL}


@dataclass(frozen=True)
class LogicalPlan:
    """How many pictures to make of the kit.

    Attributes:
        train: number of good pictures to train on.
        validation: number of good validation pictures.
        good: number of good test pictures.
        each_defect: number of test pictures of each kind of breach and of each kind of damage.
        size: side of the pictures in pixels.
        seed: random seed. A picture depends only on the seed, its split, its kind and its number.
    """

    train: int = 80
    validation: int = 20
    good: int = 24
    each_defect: int = 6
    size: int = 256
    seed: int = 0


def write_logical(root: Path, plan: LogicalPlan | None = None, advance: Advance = ignore_progress) -> None:
    """Write the kit to ``root/kit`` in MVTec LOCO layout.

    Args:
        root: folder for the pictures; created if it is missing.
        plan: how many pictures to make.
        advance: takes progress.

    Raises:
        WorkError: the folder cannot be written.
    """
    plan = plan or LogicalPlan()
    config = defects_config(plan.size)
    values = {str(entry["defect_name"]): int(str(entry["pixel_value"])) for entry in config}
    write_files(root, list(_kit_jobs(plan)), partial(_produce_kit, plan, values), advance)
    write_json(root / CATEGORY / DEFECTS_CONFIG, config)


def defects_config(size: int) -> list[dict[str, str | float]]:
    """Content of ``defects_config.json``: what the value of a mask means, for pictures of side ``size``.

    A breach of the rule counts as found once as many pixels are found as one part has. Damage counts as
    found once all of its pixels are.
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


class _KitJob(NamedTuple):
    """One picture to make.

    Attributes:
        split: train, validation or test.
        kind: folder below the split, such as ``good``.
        number: number in that folder.
        rng: random generator of the picture.
        fault: what is wrong with the kit; ``None`` for a good one.
    """

    split: str
    kind: str
    number: int
    rng: np.random.Generator
    fault: KitFault | None


def _kit_jobs(plan: LogicalPlan) -> Iterator[_KitJob]:
    for split, count in (("train", plan.train), ("validation", plan.validation), ("test", plan.good)):
        for i in range(count):
            yield _KitJob(split, "good", i, generator(plan.seed, f"{CATEGORY}/{split}/good", i), None)
    for kind, faults in _FAULTS.items():
        for start, (name, fault) in enumerate(faults.items()):
            for i in range(plan.each_defect):
                rng = generator(plan.seed, f"{CATEGORY}/test/{name}", i)
                yield _KitJob("test", kind, start * plan.each_defect + i, rng, fault)


def _produce_kit(plan: LogicalPlan, values: dict[str, int], job: _KitJob) -> Files:
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
