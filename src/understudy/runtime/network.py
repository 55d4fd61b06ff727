"""What scores windows of pictures, whatever runs it: torch, onnxruntime or OpenVINO."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from understudy.stopwatch import Lap

__all__ = ["Answers", "Network"]


class Answers(NamedTuple):
    """What a network says of a batch of windows.

    Attributes:
        maps: (B, S, S) float32; larger is more abnormal.
        scores: (B,) float32, the maximum of each map.
        embeddings: (B, D) float32 of length one; see :mod:`understudy.runtime.recognition`.
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class Network(Protocol):
    """(B, 3, S, S) float32 normalised windows, and (B, 1, S, S) of which pixels count, or ``None``."""

    def __call__(self, images: NDArray[np.float32], care: NDArray[np.float32] | None, lap: Lap) -> Answers:
        """Score windows; ``lap`` times the parts."""
        ...
