"""Pictures -> maps and scores, decoded ahead, in batches; a broken picture never stops the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from understudy.data.store import Decoded, decode_ahead
from understudy.distill.distiller import Distiller
from understudy.errors import PictureError
from understudy.runtime.images import Preprocess

__all__ = ["Scored", "score_pictures"]


@dataclass(frozen=True)
class Scored:
    """Score and (S, S) float32 map of one picture, and the picture's own (height, width)."""

    path: Path
    size: tuple[int, int]
    score: float
    anomaly_map: NDArray[np.float32]


def score_pictures(
    distiller: Distiller,
    preprocess: Preprocess,
    paths: Sequence[Path],
    batch_size: int = 8,
    device: torch.device | None = None,
) -> Iterator[Scored | PictureError]:
    """Yield one result a path, in order: a score, or why the picture could not be read.

    Scores are computed in float32 on every device, since thresholds are compared with them
    (docs/decisions/0006).
    """
    device = device or torch.device("cpu")
    distiller = distiller.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    waiting: list[tuple[Path, Decoded | PictureError]] = []
    decoded = decode_ahead(paths, preprocess, ahead=2 * batch_size)
    for path, result in zip(paths, decoded, strict=True):
        waiting.append((path, result))
        if len(waiting) == batch_size:
            yield from _score_batch(distiller, preprocess, waiting, device)
            waiting = []
    yield from _score_batch(distiller, preprocess, waiting, device)


def _score_batch(
    distiller: Distiller,
    preprocess: Preprocess,
    batch: list[tuple[Path, Decoded | PictureError]],
    device: torch.device,
) -> Iterator[Scored | PictureError]:
    pictures = [result.picture for _, result in batch if not isinstance(result, PictureError)]
    if pictures:
        images = torch.from_numpy(preprocess.normalise(np.stack(pictures))).to(device)
        with torch.inference_mode():
            maps, scores = (t.float().cpu().numpy() for t in distiller.score(images))
    at = 0
    for path, result in batch:
        if isinstance(result, PictureError):
            yield result
        else:
            yield Scored(path, result.size, float(scores[at]), maps[at, 0].copy())
            at += 1
