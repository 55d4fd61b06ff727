"""What every part of the factory writes in the same way: seeded pictures, one job after the other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy.reporter import Advance
from understudy.runtime.bundle import writing

__all__ = ["Files", "generator", "write_files"]

Job = TypeVar("Job")
Files = Mapping[str, NDArray[np.uint8]]
"""Pictures, (S, S, 3), and masks, (S, S), under their addresses below the folder."""


def generator(seed: int, name: str, number: int) -> np.random.Generator:
    """What draws one picture: it depends on the seed, the name and the number alone."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), number])


def write_files(root: Path, jobs: Sequence[Job], produce: Callable[[Job], Files], advance: Advance) -> None:
    """Produce and write the files of every job.

    Args:
        root: folder for all of them.
        jobs: what to produce.
        produce: gives the files of one job.
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
