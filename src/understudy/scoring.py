"""Pictures -> maps and scores, decoded ahead, in batches; a broken picture never stops the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from understudy.data.decode import Decoded, decode_ahead
from understudy.device import full_precision
from understudy.distill.distiller import Distiller
from understudy.errors import PictureError
from understudy.runtime.images import Picture, Preprocess, unit
from understudy.stopwatch import Lap, untimed

__all__ = ["Found", "Scored", "score_arrays", "score_pictures"]

Found = tuple[float, NDArray[np.float32]]
"""Score and (S, S) float32 map of one picture."""


@dataclass(frozen=True)
class Scored:
    """What was found of one picture.

    Attributes:
        path: its file.
        size: its own (height, width).
        digest: of its file.
        score: image-level anomaly score.
        anomaly_map: (S, S) float32.
        embedding: (D,) float32 of length one; see :func:`understudy.distill.teacher.embedding`.
    """

    path: Path
    size: tuple[int, int]
    digest: str
    score: float
    anomaly_map: NDArray[np.float32]
    embedding: NDArray[np.float32]


def score_pictures(
    distiller: Distiller,
    preprocess: Preprocess,
    paths: Sequence[Path],
    batch_size: int = 8,
    device: torch.device | None = None,
    lap: Lap = untimed,
) -> Iterator[Scored | PictureError]:
    """Yield one result a path, in order: a score, or why the picture could not be read.

    Scores are computed in float32 on every device, since thresholds are compared with them
    (docs/decisions/0006).
    """
    device = device or torch.device("cpu")
    distiller = _ready(distiller, device)
    waiting: list[tuple[Path, Decoded | PictureError]] = []
    decoded = decode_ahead(paths, preprocess, ahead=2 * batch_size, lap=lap)
    for path, result in zip(paths, decoded, strict=True):
        waiting.append((path, result))
        if len(waiting) == batch_size:
            yield from _score_batch(distiller, preprocess, waiting, device, lap)
            waiting = []
    yield from _score_batch(distiller, preprocess, waiting, device, lap)


def score_arrays(
    distiller: Distiller,
    preprocess: Preprocess,
    pictures: Iterable[Picture | NDArray[np.float32]],
    batch_size: int = 8,
    device: torch.device | None = None,
) -> Iterator[Found]:
    """Yield score and map of each (S, S, 3) picture, uint8 or float32 in [0, 1], in order.

    Pictures are taken from the iterable a batch at a time, so many that are made on the way never
    lie in memory together. Scores are those of :func:`score_pictures`.
    """
    device = device or torch.device("cpu")
    distiller = _ready(distiller, device)
    waiting = iter(pictures)
    while batch := list(islice(waiting, batch_size)):
        for score, anomaly_map, _ in _score(distiller, preprocess, batch, device):
            yield score, anomaly_map


def _score_batch(
    distiller: Distiller,
    preprocess: Preprocess,
    batch: list[tuple[Path, Decoded | PictureError]],
    device: torch.device,
    lap: Lap,
) -> Iterator[Scored | PictureError]:
    pictures = [result.picture for _, result in batch if not isinstance(result, PictureError)]
    found = iter(_score(distiller, preprocess, pictures, device, lap))
    for path, result in batch:
        if isinstance(result, PictureError):
            yield result
        else:
            yield Scored(path, result.size, result.digest, *next(found))


def _ready(distiller: Distiller, device: torch.device) -> Distiller:
    return distiller.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def _score(
    distiller: Distiller,
    preprocess: Preprocess,
    pictures: Sequence[Picture | NDArray[np.float32]],
    device: torch.device,
    lap: Lap = untimed,
) -> list[tuple[float, NDArray[np.float32], NDArray[np.float32]]]:
    """Score one batch of (S, S, 3) pictures at once; an empty one has no results."""
    if not pictures:
        return []
    with lap("normalise", len(pictures)):
        images = torch.from_numpy(preprocess.normalise(np.stack([unit(p) for p in pictures]))).to(device)
    with torch.inference_mode(), full_precision():
        maps, scores, embeddings = (t.float().cpu().numpy() for t in distiller.inspect(images, lap))
    return [
        (float(score), one[0].copy(), embedding)
        for score, one, embedding in zip(scores, maps, embeddings, strict=True)
    ]
