"""Keep the mean of a student's weights over the last steps of its training, instead of the last ones."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

__all__ = ["AveragedWeights"]

_SOON = 10  # steps: while there are fewer, the mean follows faster


class AveragedWeights(Callback):
    """An exponential mean of the weights after every step; a rate that stays constant leaves them wandering.

    After step n the mean keeps the share min(decay, (n - 1) / (n - 1 + 10)) of what it was, so that a short
    training forgets its beginning too.

    Args:
        student: trained in place.
        decay: share that the mean keeps at a step, below one; 0.98 looks back over some fifty steps.
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        self._student, self._decay = student, decay
        self._mean: list[Tensor] = []
        self._steps = 0

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        weights = self._weights()
        if not self._mean:
            self._mean = [torch.zeros_like(w) for w in weights]
        mean = [m.to(w.device) for m, w in zip(self._mean, weights, strict=True)]
        share = min(self._decay, self._steps / (self._steps + _SOON))
        torch._foreach_lerp_(mean, weights, 1 - share)
        self._mean, self._steps = mean, self._steps + 1

    def restore(self) -> None:
        """Give the student the mean; nothing where no step was seen."""
        if self._mean:
            for weight, mean in zip(self._weights(), self._mean, strict=True):
                weight.copy_(mean)  # whatever device the training left either on

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"mean": self._mean, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._mean, self._steps = state_dict["mean"], state_dict["steps"]

    def _weights(self) -> list[Tensor]:
        """Parameters, and the statistics of normalisation that go with them."""
        numbers = [b for b in self._student.buffers() if b.is_floating_point()]
        return [value.detach() for value in (*self._student.parameters(), *numbers)]
