"""A frozen teacher's features of good pictures: with them a training needs neither pictures nor teacher.

Where some pixels may not count, which ones do is kept as one level more, of (S, S, 1) bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from understudy.types import Features

__all__ = ["FeatureStore", "Layout", "as_features", "bytes_of", "keep_in_memory"]


class Layout(NamedTuple):
    """How one level of one picture is kept: (h, w, D), and the type that the teacher computes it in."""

    shape: tuple[int, int, int]
    dtype: torch.dtype


class FeatureStore(Dataset[list[Tensor]]):
    """Features as one (h, w, D) tensor a level: the order in which a channels-last network has them.

    Args:
        levels: (N, h, w, D) each, in memory or in mapped files.
        rows: where each picture's features are in them.

    Attributes:
        workers: processes to load batches with: none, since nothing is computed.
    """

    workers = 0

    def __init__(self, levels: Sequence[Tensor], rows: Sequence[int]) -> None:
        self._levels, self._rows = list(levels), list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[Tensor]:
        return [level[self._rows[index]] for level in self._levels]


def as_features(batch: Sequence[Tensor]) -> tuple[Features, Tensor | None]:
    """(B, h, w, D) a level, as a loader puts a store's items together -> what the teacher gave.

    Also (B, 1, S, S), 1 where a pixel counts: the last item where it is of bytes.
    """
    levels = [level.permute(0, 3, 1, 2) for level in batch]
    return (levels[:-1], levels[-1] / 255) if batch[-1].dtype == torch.uint8 else (levels, None)


def bytes_of(layouts: Sequence[Layout]) -> int:
    """Bytes of one picture's features."""
    return sum(math.prod(layout.shape) * layout.dtype.itemsize for layout in layouts)


def keep_in_memory(n: int, layouts: Sequence[Layout], parts: Iterable[Sequence[Tensor]]) -> FeatureStore:
    """Keep the features of ``n`` pictures, which come in parts of (b, h, w, D) a level, in order."""
    levels = [torch.empty((n, *layout.shape), dtype=layout.dtype) for layout in layouts]
    at = 0
    for part in parts:
        size = len(part[0])
        for level, own in zip(levels, part, strict=True):
            level[at : at + size] = own
        at += size
    return FeatureStore(levels, range(n))
