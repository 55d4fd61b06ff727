"""Choose the epoch by good pictures that the training does not learn from; never by test pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from understudy.distill.distiller import Distiller

__all__ = ["BestEpoch"]


class BestEpoch(Callback):
    """Keeps the student whose maps of the validation pictures are the lowest on average. STPM's rule.

    Args:
        distiller: trained in place.
        error: mean of the maps of all validation pictures, for the student as it is.
        every: steps of an epoch; the last step is looked at too.
    """

    def __init__(self, distiller: Distiller, error: Callable[[], float], every: int) -> None:
        self._distiller, self._error, self._every = distiller, error, every
        self.lowest: float | None = None
        self.step = 0
        self._weights: dict[str, Tensor] = {}

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step % self._every and step != trainer.max_steps:
            return
        self._distiller.eval()
        with torch.inference_mode():
            error = self._error()
        self._distiller.train()
        if math.isfinite(error) and (self.lowest is None or error < self.lowest):
            self.lowest, self.step = error, step
            self._weights = {k: v.detach().cpu().clone() for k, v in self._distiller.learned().items()}

    def restore(self) -> None:
        """Put the chosen student back; nothing where none was chosen."""
        if self._weights:
            self._distiller.load_learned(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on choosing."""
        return {"lowest": self.lowest, "step": self.step, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.lowest, self.step = state_dict["lowest"], state_dict["step"]
        self._weights = state_dict["weights"]
