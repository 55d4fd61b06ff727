"""Windows of good pictures for a training: in memory within a budget, the others decoded on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from understudy.data.memory import MEMORY_BUDGET, bytes_each
from understudy.errors import InputError, PictureError
from understudy.progress import Advance, ignore_progress
from understudy.runtime.decoding import decode_file, digest_of
from understudy.runtime.images import Mask, Picture, read_size
from understudy.runtime.preprocess import Corner, Preprocess
from understudy.runtime.roi import NO_ROIS, Rois, uses_valid_mask
from understudy.runtime.sources import decode_ahead

__all__ = ["PictureStore", "count_windows"]


def count_windows(
    paths: Sequence[Path], categories: Sequence[str], preprocess: Preprocess, rois: Rois = NO_ROIS
) -> int:
    """Return the number of windows of some pictures, from their headers; 1 for a file that cannot be read."""
    named = zip(paths, categories, strict=True)
    return sum(_windows_of(path, category, preprocess, rois) for path, category in named)


def _windows_of(path: Path, category: str, preprocess: Preprocess, rois: Rois) -> int:
    if preprocess.tile is None:
        return 1
    size = read_size(path)
    if not all(size):
        return 1
    canvas = preprocess.canvas(size)
    try:
        return len(preprocess.corners(canvas, rois.valid(category, size, canvas, path)))
    except PictureError:  # the store will report it
        return 1


_NONE: tuple[int, Picture, Mask | None] = (-1, np.empty((0, 0, 3), np.uint8), None)


class PictureStore(Dataset[Tensor]):
    """Windows of pictures as uint8 tensors: the first ones from memory, within a budget, the others decoded.

    A window is (S, S, 3), or (S, S, 4) if some pixels may not count; see
    :meth:`understudy.runtime.preprocess.Preprocess.cut`. Every file is decoded once at the start, so a broken
    one is reported before the training.

    Args:
        paths: picture files.
        preprocess: cuts pictures into windows.
        budget: largest number of bytes of windows to keep.
        workers: number of processes that decode windows that are not kept.
        advance: called with ("decode", pictures done, pictures in all, "").
        rois: which pixels count.
        categories: category of each picture; required if regions of interest depend on it.

    Attributes:
        digests: digest of each file's content.
        owners: index of the picture of each window.

    Raises:
        InputError: some pictures do not decode, or do not fit their region of interest; the first is named.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocess: Preprocess,
        budget: int = MEMORY_BUDGET,
        workers: int = 0,
        advance: Advance = ignore_progress,
        rois: Rois = NO_ROIS,
        categories: Sequence[str | None] | None = None,
    ) -> None:
        self._paths, self._preprocess, self._rois = list(paths), preprocess, rois
        self._categories: list[str | None] = list(categories or [None] * len(paths))
        self._workers = workers
        self.digests: list[str] = []
        self.owners: list[int] = []
        self._corners: list[Corner] = []
        self._kept: list[Picture] = []
        self._last = _NONE
        left = budget // bytes_each(preprocess.image_size, 3 + uses_valid_mask(preprocess, rois))
        broken: list[PictureError] = []
        for i, result in enumerate(decode_ahead(self._paths, preprocess, ahead=4 if preprocess.tile else 16)):
            try:
                if isinstance(result, PictureError):
                    raise result
                valid = self._valid_mask(i, result.size, result.picture)
            except PictureError as error:
                broken.append(error)
                continue
            self.digests.append(result.digest)
            for corner in preprocess.corners(result.picture.shape[:2], valid):
                self.owners.append(i)
                self._corners.append(corner)
                if len(self._kept) < left:
                    self._kept.append(np.array(preprocess.cut(result.picture, corner, valid)))
            advance("decode", i + 1, len(paths), "")
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise InputError(f"{broken[0]}{more}")

    @property
    def kept_bytes(self) -> int:
        """Number of bytes of the windows in memory."""
        return sum(window.nbytes for window in self._kept)

    @property
    def names(self) -> list[str]:
        """Digest of each window: of its picture, its place and its category."""
        if self._preprocess.tile is None and not self._rois:
            return self.digests
        places = zip(self.owners, self._corners, strict=True)
        return [digest_of(f"{self.digests[i]} {c} {self._categories[i]}".encode()) for i, c in places]

    @property
    def workers(self) -> int:
        """Number of processes that load batches; 0 if all windows are in memory."""
        return self._workers if len(self._kept) < len(self) else 0

    def release(self) -> None:
        """Drop the windows from memory; from now on each picture is decoded on demand."""
        self._kept, self._last = [], _NONE

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> Tensor:
        if index < len(self._kept):
            return torch.from_numpy(self._kept[index])
        owner = self.owners[index]
        if owner != self._last[0]:  # windows of one picture mostly follow each other
            look = self._preprocess
            canvas, size, _ = decode_file(self._paths[owner], look.depth, look.canvas)
            self._last = (owner, canvas, self._valid_mask(owner, size, canvas))
        _, canvas, valid = self._last
        return torch.from_numpy(np.array(self._preprocess.cut(canvas, self._corners[index], valid)))

    def _valid_mask(self, index: int, size: tuple[int, int], canvas: Picture) -> Mask | None:
        """Return the valid mask of a picture's canvas; ``None`` if all pixels count."""
        return self._rois.valid(self._categories[index], size, canvas.shape[:2], self._paths[index])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept windows out: a worker process that does not share memory must not copy them."""
        return self.__dict__ | {"_kept": [], "_last": _NONE}
