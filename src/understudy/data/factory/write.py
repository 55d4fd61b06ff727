"""Write the synthetic factory's pictures and masks to a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from understudy.data.factory.canvas import expose
from understudy.data.factory.defects import DEFECTS, spoil
from understudy.data.factory.files import Files, generator, write_files
from understudy.data.factory.products import PRODUCTS
from understudy.reporter import Advance, ignore_progress

__all__ = ["FactoryPlan", "write_factory"]


@dataclass(frozen=True)
class FactoryPlan:
    """How much to make, per category.

    Attributes:
        train: good pictures to learn from.
        good: good test pictures.
        each_defect: test pictures of every kind of defect.
        size: side in pixels.
        seed: of everything; a picture depends on it, its category, its kind and its number alone.
    """

    train: int = 60
    good: int = 15
    each_defect: int = 6
    size: int = 256
    seed: int = 0


def write_factory(root: Path, plan: FactoryPlan | None = None, advance: Advance = ignore_progress) -> None:
    """Write all categories below ``root`` in MVTec AD layout.

    Raises:
        WorkError: the folder cannot be written.
    """
    plan = plan or FactoryPlan()
    write_files(root, list(_jobs(plan)), partial(_produce, plan), advance)


Job = tuple[str, str, str, int]
"""Category, split, kind and number of a picture."""


def _jobs(plan: FactoryPlan) -> Iterator[Job]:
    for category in PRODUCTS:
        yield from ((category, "train", "good", i) for i in range(plan.train))
        yield from ((category, "test", "good", i) for i in range(plan.good))
        for kind in DEFECTS[category]:
            yield from ((category, "test", kind, i) for i in range(plan.each_defect))


def _produce(plan: FactoryPlan, job: Job) -> Files:
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
