"""A frozen teacher's features of good pictures: with them a training needs neither pictures nor teacher.

Where some pixels may not count, the mask of those that do is kept as one more level, of (S, S, 1) bytes. Features are
kept in memory, or in files that are mapped into memory, for as many pictures as a disk holds. Such a folder holds one
set at a time, whole or not at all::

    understudy-features/features.json   what they are of, and every file's hash
    understudy-features/level0.bin      (N, h, w, D) numbers, nothing else; one file a level
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.utils.data import Dataset

from understudy.files import sha256_of, write_json, writing
from understudy.types import Features

__all__ = [
    "FeatureStore",
    "Layout",
    "as_features",
    "bytes_of",
    "keep_in_memory",
    "read_features",
    "write_features",
]


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


_SET, _CARD = "understudy-features", "features.json"
_UNFINISHED = f"{_SET}-part-"


class _LevelCard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int]
    dtype: Literal["float32", "bfloat16", "uint8"]
    sha256: str


class _Card(BaseModel):
    """What a set is: ``origin`` decides its values, ``digests`` name its windows, row by row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    digests: list[str]
    levels: list[_LevelCard]


def read_features(
    folder: Path, origin: str, digests: Sequence[str], say: Callable[[str], None]
) -> FeatureStore | None:
    """Map the features of some windows, or say why a set that is there is of no use.

    Args:
        folder: where :func:`write_features` wrote.
        origin: digest of all that decides a picture's features.
        digests: of the windows; the set may hold others too, in any order.
        say: takes one line.
    """
    found = folder / _SET
    if not found.exists():
        return None
    try:
        card = _Card.model_validate_json((found / _CARD).read_bytes())
        if card.origin != origin or not set(digests) <= set(card.digests):
            say(f"{folder} holds features of another teacher, size or precision, or of other pictures")
            return None
        if any(sha256_of(_file(found, i)) != level.sha256 for i, level in enumerate(card.levels)):
            raise ValueError("altered")
    except (OSError, ValueError):
        say(f"the features in {folder} are damaged")
        return None
    return _mapped(found, card, digests)


def write_features(
    folder: Path,
    origin: str,
    digests: Sequence[str],
    layouts: Sequence[Layout],
    parts: Iterable[Sequence[Tensor]],
) -> FeatureStore:
    """Write a set in place of any other, then map it.

    Args:
        folder: gets one subfolder.
        origin: digest of all that decides a picture's features.
        digests: of the windows.
        layouts: of each level.
        parts: (b, h, w, D) a level, in the order of the windows.

    Raises:
        WorkError: it cannot be written (a full disk, say); nothing of it is left behind.
    """
    with writing(folder, "name another folder with --cache-features"):
        for old in (folder / _SET, *folder.glob(f"{_UNFINISHED}*")):
            shutil.rmtree(old, ignore_errors=True)
        if shutil.disk_usage(folder).free < len(digests) * bytes_of(layouts):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as unfinished:
            made = Path(unfinished, _SET)
            made.mkdir()
            # Written, not mapped: a full disk under a map would kill the process.
            with ExitStack() as stack:
                files = [stack.enter_context(_file(made, i).open("wb")) for i in range(len(layouts))]
                for part in parts:
                    for file, level in zip(files, part, strict=True):
                        file.write(level.contiguous().view(torch.uint8).numpy().data)
            levels = [
                _LevelCard.model_validate(
                    {
                        "shape": layout.shape,
                        "dtype": str(layout.dtype).removeprefix("torch."),
                        "sha256": sha256_of(_file(made, i)),
                    }
                )
                for i, layout in enumerate(layouts)
            ]
            card = _Card(origin=origin, digests=list(digests), levels=levels)
            write_json(made / _CARD, card.model_dump(mode="json"))
            made.rename(folder / _SET)
    return _mapped(folder / _SET, card, digests)


def _file(found: Path, level: int) -> Path:
    return found / f"level{level}.bin"


def _mapped(found: Path, card: _Card, digests: Sequence[str]) -> FeatureStore:
    rows = {digest: row for row, digest in enumerate(card.digests)}
    levels = []
    for i, level in enumerate(card.levels):
        data = np.memmap(_file(found, i), np.uint8, mode="r")
        with warnings.catch_warnings():  # that nothing may be written there is meant
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            flat = torch.from_numpy(data)
        levels.append(flat.view(getattr(torch, level.dtype)).view(len(card.digests), *level.shape))
    return FeatureStore(levels, [rows[digest] for digest in digests])
