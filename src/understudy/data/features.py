"""Storage for a frozen teacher's features of good pictures, in memory or in files.

With stored features a training needs neither the pictures nor the teacher. If some pixels may not count, the
valid mask is stored as one more level, of (S, S, 1) bytes. Files are mapped into memory, so there may be as
many as the disk holds. A folder holds one set at a time, complete or absent::

    understudy-features/features.json   what the features are of, and the hash of every file
    understudy-features/level0.bin      (N, h, w, D) numbers and nothing else; one file per level
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.utils.data import Dataset

from understudy.files import sha256_of, write_json, writing
from understudy.folders import draft_in, locked
from understudy.types import Features

__all__ = [
    "FeatureStore",
    "LevelLayout",
    "as_features",
    "bytes_of",
    "keep_in_memory",
    "read_features",
    "write_features",
]


class LevelLayout(NamedTuple):
    """How one level of one picture is stored.

    Attributes:
        shape: (h, w, D).
        dtype: type that the teacher computes it in.
    """

    shape: tuple[int, int, int]
    dtype: torch.dtype


class FeatureStore(Dataset[list[Tensor]]):
    """Features of pictures, as one (h, w, D) tensor per level: the order of a channels-last network.

    Args:
        levels: (N, h, w, D) tensor of each level, in memory or in mapped files.
        rows: row of each picture in these tensors.

    Attributes:
        workers: number of processes that load batches; 0, because nothing has to be computed.
    """

    workers = 0

    def __init__(self, levels: Sequence[Tensor], rows: Sequence[int]) -> None:
        self._levels, self._rows = list(levels), list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> list[Tensor]:
        return [level[self._rows[index]] for level in self._levels]


def as_features(batch: Sequence[Tensor]) -> tuple[Features, Tensor | None]:
    """(B, h, w, D) levels of a :class:`FeatureStore` -> teacher features and (B, 1, S, S) valid mask.

    The mask is 1 where a pixel counts. It is the last level if that is of bytes; else it is ``None``.
    """
    levels = [level.permute(0, 3, 1, 2) for level in batch]
    return (levels[:-1], levels[-1] / 255) if batch[-1].dtype == torch.uint8 else (levels, None)


def bytes_of(layouts: Sequence[LevelLayout]) -> int:
    """Return the number of bytes of one picture's features."""
    return sum(math.prod(layout.shape) * layout.dtype.itemsize for layout in layouts)


def keep_in_memory(
    n: int,
    layouts: Sequence[LevelLayout],
    parts: Iterable[Sequence[Tensor]],
    device: torch.device | None = None,
) -> FeatureStore:
    """Store features in memory.

    Args:
        n: number of pictures.
        layouts: layout of each level.
        parts: batches of features in order, each (b, h, w, D) per level.
        device: device whose memory holds them; the processor's by default.
    """
    levels = [torch.empty((n, *layout.shape), dtype=layout.dtype, device=device) for layout in layouts]
    at = 0
    for part in parts:
        size = len(part[0])
        for level, rows in zip(levels, part, strict=True):
            level[at : at + size] = rows
        at += size
    return FeatureStore(levels, range(n))


_SET, _CARD = "understudy-features", "features.json"


class _LevelCard(BaseModel):
    """Shape, type and hash of the file of one level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int, int]
    dtype: Literal["float32", "bfloat16", "uint8"]
    sha256: str


class _Card(BaseModel):
    """Content of ``features.json``.

    Attributes:
        origin: digest of everything that decides the values.
        digests: digest of each window, row by row.
        levels: files of the levels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: str
    digests: list[str]
    levels: list[_LevelCard]


def read_features(
    folder: Path, origin: str, digests: Sequence[str], say: Callable[[str], None]
) -> FeatureStore | None:
    """Map the features of some windows; ``None`` if there are none, or none that fit.

    Args:
        folder: folder that :func:`write_features` wrote to.
        origin: digest of everything that decides the features of a picture.
        digests: digest of each window; the set may hold others too, in any order.
        say: takes a line that says why a set cannot be used.
    """
    stored = folder / _SET
    if not stored.exists():
        return None
    try:
        card = _Card.model_validate_json((stored / _CARD).read_bytes())
        if card.origin != origin or not set(digests) <= set(card.digests):
            say(f"{folder} holds features of another teacher, size or precision, or of other pictures")
            return None
        if any(sha256_of(_file(stored, i)) != level.sha256 for i, level in enumerate(card.levels)):
            raise ValueError("altered")
    except (OSError, ValueError):
        say(f"the features in {folder} are damaged")
        return None
    return _mapped(stored, card, digests)


def write_features(
    folder: Path,
    origin: str,
    digests: Sequence[str],
    layouts: Sequence[LevelLayout],
    parts: Iterable[Sequence[Tensor]],
) -> FeatureStore:
    """Write a set of features, in place of any other, and map it.

    Args:
        folder: folder that gets one subfolder.
        origin: digest of everything that decides the features of a picture.
        digests: digest of each window.
        layouts: layout of each level.
        parts: batches of features in the order of the windows, each (b, h, w, D) per level.

    Raises:
        InputError: another process writes into the folder.
        WorkError: the set cannot be written, for example because the disk is full; nothing of it is left
            behind.
    """
    needs = len(digests) * bytes_of(layouts)
    with writing(folder, "name another folder with --cache-features", needs):
        _remove_set(folder / _SET)
        if shutil.disk_usage(folder).free < needs:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with locked(folder), draft_in(folder) as unfinished:
            made = unfinished / _SET
            made.mkdir()
            # Written, not mapped: a full disk under a mapped file would kill the process.
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


def _remove_set(stored: Path) -> None:
    """Remove the files of an older set; any other file there stays, and so does its folder."""
    for file in (stored / _CARD, *stored.glob("level[0-9]*.bin")):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        stored.rmdir()


def _file(folder: Path, level: int) -> Path:
    """Return the file of a level."""
    return folder / f"level{level}.bin"


def _mapped(folder: Path, card: _Card, digests: Sequence[str]) -> FeatureStore:
    """Map the files of a set, and pick the rows of some windows."""
    rows = {digest: row for row, digest in enumerate(card.digests)}
    levels = []
    for i, level in enumerate(card.levels):
        data = np.memmap(_file(folder, i), np.uint8, mode="r")
        with warnings.catch_warnings():  # read-only is what we want
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            flat = torch.from_numpy(data)
        levels.append(flat.view(getattr(torch, level.dtype)).view(len(card.digests), *level.shape))
    return FeatureStore(levels, [rows[digest] for digest in digests])
