"""Write the synthetic factory's pictures and masks to a folder."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.data.factory.canvas import expose
from understudy.data.factory.defects import DEFECTS, spoil
from understudy.data.factory.products import PRODUCTS
from understudy.reporter import Advance, ignore_progress
from understudy.runtime.bundle import writing

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
    jobs = list(_jobs(plan))
    with writing(root):
        for done, (category, split, kind, number) in enumerate(jobs, start=1):
            picture, mask = _produce(plan, category, split, kind, number)
            folder = root / category / split / kind
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{number:03d}.png")
            if mask is not None:
                masks = root / category / "ground_truth" / kind
                masks.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"{number:03d}_mask.png")
            advance("produce", done, len(jobs), "")


def _jobs(plan: FactoryPlan) -> Iterator[tuple[str, str, str, int]]:
    for category in PRODUCTS:
        yield from ((category, "train", "good", i) for i in range(plan.train))
        yield from ((category, "test", "good", i) for i in range(plan.good))
        for kind in DEFECTS[category]:
            yield from ((category, "test", kind, i) for i in range(plan.each_defect))


def _produce(
    plan: FactoryPlan, category: str, split: str, kind: str, number: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    rng = np.random.default_rng([plan.seed, zlib.crc32(f"{category}/{split}/{kind}".encode()), number])
    scene = PRODUCTS[category](rng, plan.size)
    if kind == "good":
        return expose(scene.picture, rng), None
    picture, mask = spoil(rng, scene, DEFECTS[category][kind])
    return expose(picture, rng), mask
