"""Good pictures in memory, decoded once, and the order in which training sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from understudy.errors import InputError, PictureError
from understudy.reporter import Advance, ignore_progress
from understudy.runtime.images import Picture, Preprocess, decode_picture, read_bytes

__all__ = ["MEMORY_BUDGET", "Decoded", "PictureStore", "SeededBatches", "decode_ahead", "digest_of"]

MEMORY_BUDGET = 4 * 2**30
_DIGITS = 32  # of a picture's SHA-256: 128 bits name it well enough


class Decoded(NamedTuple):
    """A picture ready for a model, the digest of its file, and its own (height, width)."""

    picture: Picture
    digest: str
    size: tuple[int, int]


def digest_of(data: bytes) -> str:
    """Name of a file's content: the first half of its SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def decode_ahead(
    paths: Sequence[Path], preprocess: Preprocess, ahead: int = 16
) -> Iterator[Decoded | PictureError]:
    """Yield each path's resized picture in order, decoding on other threads meanwhile.

    A picture that does not decode yields its error, so one never stops the rest.
    """

    def one(path: Path) -> Decoded | PictureError:
        try:
            data = read_bytes(path)
            picture = decode_picture(data, path)
            height, width, _ = picture.shape
            return Decoded(preprocess.resize(picture), digest_of(data), (height, width))
        except PictureError as error:
            return error

    with ThreadPoolExecutor() as pool:
        waiting = [pool.submit(one, path) for path in paths[:ahead]]
        for path in [*paths[ahead:], *[None] * len(waiting)]:
            done = waiting.pop(0)
            if path is not None:
                waiting.append(pool.submit(one, path))
            yield done.result()


class PictureStore(Dataset[Tensor]):
    """Pictures as (S, S, 3) uint8 tensors: kept in memory within a budget, else decoded on demand.

    Every file is decoded once at the start either way, so that a broken one is named before any
    training.

    Args:
        paths: picture files.
        preprocess: gives the size.
        budget: bytes of decoded pictures to keep at most.
        advance: called with ("decode", pictures done, pictures in all, "").

    Raises:
        InputError: some pictures do not decode; the first ones are named.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        preprocess: Preprocess,
        budget: int = MEMORY_BUDGET,
        advance: Advance = ignore_progress,
    ) -> None:
        self._paths, self._preprocess = list(paths), preprocess
        side = preprocess.image_size
        keep = len(paths) * side * side * 3 <= budget
        self._kept = np.empty((len(paths) if keep else 0, side, side, 3), np.uint8)
        self.digests: list[str] = []
        broken: list[PictureError] = []
        for i, result in enumerate(decode_ahead(self._paths, preprocess)):
            if isinstance(result, PictureError):
                broken.append(result)
            else:
                self.digests.append(result.digest)
                if keep:
                    self._kept[i] = result.picture
            advance("decode", i + 1, len(paths), "")
        if broken:
            more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
            raise InputError(f"{broken[0]}{more}")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        if len(self._kept):
            return torch.from_numpy(self._kept[index])
        path = self._paths[index]
        return torch.from_numpy(self._preprocess.resize(decode_picture(read_bytes(path), path)).copy())


class SeededBatches(Sampler[list[int]]):
    """Batches of indices, each a pure function of the seed and the step: training can go on anywhere.

    Every epoch is a fresh permutation cut into full batches; what is left over waits for the next.

    Args:
        n: number of pictures.
        batch_size: pictures a batch; at most ``n`` are taken.
        seed: of the permutations.
        stop: step at which training ends.
        start: step at which it begins or goes on.
    """

    def __init__(self, n: int, batch_size: int, seed: int, stop: int, start: int = 0) -> None:
        self.batch_size = min(batch_size, n)
        self.steps_per_epoch = n // self.batch_size
        self._n, self._seed, self._stop, self._start = n, seed, stop, start

    def __len__(self) -> int:
        return self._stop

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self._start, self._stop):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if batch == 0 or step == self._start:
                order = np.random.default_rng([self._seed, epoch]).permutation(self._n)
            at = batch * self.batch_size
            yield order[at : at + self.batch_size].tolist()
