"""A trained distiller as a network that scores windows of pictures, in torch."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from understudy.device import full_precision
from understudy.distill.distiller import Distiller
from understudy.memory_kept import keep_memory, release_memory
from understudy.runtime.images import Picture, unit
from understudy.runtime.network import Answers
from understudy.runtime.preprocess import Preprocess
from understudy.stopwatch import Lap, untimed

__all__ = ["Found", "TorchNetwork", "score_windows"]

Found = tuple[float, NDArray[np.float32]]
"""Score and (S, S) float32 map of one window."""


class TorchNetwork:
    """See :class:`understudy.runtime.network.Network`.

    Scores are computed in float32 on every device, since thresholds are compared with them
    (docs/decisions/0006). On a processor the memory of one batch is kept for the next as long as the network
    is there.

    Args:
        distiller: trained; brought to the device and to eval mode.
        device: to score on.
    """

    def __init__(self, distiller: Distiller, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._distiller = distiller.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        if self._device.type == "cpu":
            keep_memory()
            weakref.finalize(self, release_memory).atexit = False

    def __call__(  # noqa: D102
        self, images: NDArray[np.float32], care: NDArray[np.float32] | None, lap: Lap = untimed
    ) -> Answers:
        given = torch.from_numpy(images).to(self._device)
        counts = None if care is None else torch.from_numpy(care).to(self._device)
        with torch.inference_mode(), full_precision():
            maps, scores, embeddings = (
                t.float().cpu().numpy() for t in self._distiller.inspect(given, lap, counts)
            )
        return Answers(maps[:, 0], scores, embeddings)


def score_windows(
    network: TorchNetwork,
    preprocess: Preprocess,
    windows: Iterable[Picture | NDArray[np.float32]],
    batch_size: int = 8,
) -> Iterator[Found]:
    """Yield score and map of each (S, S, 3) window, uint8 or float32 in [0, 1], in order.

    Windows are taken from the iterable a batch at a time, so many that are made on the way never lie in
    memory together.
    """
    waiting = iter(windows)
    while batch := list(islice(waiting, batch_size)):
        answers = network(preprocess.normalise(np.stack([unit(w) for w in batch])), None)
        for score, anomaly_map in zip(answers.scores, answers.maps, strict=True):
            yield float(score), anomaly_map.copy()
