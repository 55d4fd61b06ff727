"""Good pictures for a training: in memory as far as a budget goes, the others decoded on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from understudy.data.decode import decode_ahead
from understudy.data.memory import MEMORY_BUDGET, bytes_each
from understudy.errors import InputError, PictureError
from understudy.reporter import Advance, ignore_progress
from understudy.runtime.images import Preprocess, decode_picture, read_bytes

__all__ = ["PictureStore"]


class PictureStore(Dataset[Tensor]):
    """Pictures as (S, S, 3) uint8 tensors: the first ones from memory, within a budget, the others decoded.

    Every file is decoded once at the start either way, so that a broken one is named before any
    training.

    Args:
        paths: picture files.
        preprocess: gives the size.
        budget: bytes of decoded pictures to keep at most.
        workers: processes that may decode what is not kept.
        advance: called with ("decode", pictures done, pictures in all, "").

    Attributes:
        digests: of the files' contents.

    Raises:
        InputError: some pictures do not decode; the first ones are named.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocess: Preprocess,
        budget: int = MEMORY_BUDGET,
        workers: int = 0,
        advance: Advance = ignore_progress,
    ) -> None:
        self._paths, self._preprocess = list(paths), preprocess
        side = preprocess.image_size
        kept = min(len(paths), budget // bytes_each(side))
        self._kept = np.empty((kept, side, side, 3), np.uint8)
        self._workers = workers
        self.digests: list[str] = []
        broken: list[PictureError] = []
        for i, result in enumerate(decode_ahead(self._paths, preprocess)):
            if isinstance(result, PictureError):
                broken.append(result)
            else:
                self.digests.append(result.digest)
                if i < kept:
                    self._kept[i] = result.picture
            advance("decode", i + 1, len(paths), "")
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise InputError(f"{broken[0]}{more}")

    @property
    def kept_bytes(self) -> int:
        """What of the budget is used."""
        return self._kept.nbytes

    @property
    def workers(self) -> int:
        """Processes to load batches with: none where every picture is kept."""
        return self._workers if len(self._kept) < len(self) else 0

    def release(self) -> None:
        """Keep no picture any longer; from now on each is decoded on demand."""
        self._kept = self._kept[:0].copy()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        if index < len(self._kept):
            return torch.from_numpy(self._kept[index])
        path = self._paths[index]
        return torch.from_numpy(self._preprocess.resize(decode_picture(read_bytes(path), path)).copy())

    def __getstate__(self) -> dict[str, Any]:
        """Leave the kept pictures out: a worker that does not share this memory must not hold it again."""
        return self.__dict__ | {"_kept": self._kept[:0]}
