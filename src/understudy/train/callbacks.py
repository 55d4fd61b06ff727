"""What looks on while a training runs: the journal, the mean of the weights, the best epoch, the progress."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from understudy.distill.distiller import Distiller
from understudy.errors import WorkError
from understudy.files import writing
from understudy.progress import Advance

__all__ = ["AveragedWeights", "BestEpoch", "Journal", "ProgressWatch"]

_REPORT_EVERY = 10  # steps: reading the loss waits for the device


class Journal:
    """Appends figures to a file; a training that goes on from a step keeps what came before it.

    Args:
        path: the file, ``training.jsonl`` beside a model.
        start: step from which the training goes on.

    Raises:
        WorkError: the file cannot be written.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        kept = []
        if start and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= start]
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of a step, in the order given."""
        line = json.dumps({"step": step} | {k: float(f"{v:.6g}") for k, v in figures.items()})
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


_SOON = 10  # steps: while there are fewer, the mean follows faster


class AveragedWeights(Callback):
    """Keeps an exponential mean of the student's weights after every step.

    A learning rate that stays constant leaves the last weights wandering around the mean. After step n the mean
    keeps the share min(decay, (n - 1) / (n - 1 + 10)) of what it was, so that a short training forgets its
    beginning too.

    Args:
        student: trained in place.
        decay: share that the mean keeps at a step, below one; 0.98 looks back over some fifty steps.
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        self._student, self._decay = student, decay
        self._mean: AveragedModel | None = None
        self._saved: dict[str, Any] = {}

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._mean is None:
            self._mean = AveragedModel(self._student, multi_avg_fn=self._update, use_buffers=True)
            if self._saved:
                self._mean.load_state_dict(self._saved)
        self._mean.update_parameters(self._student)

    def restore(self) -> None:
        """Give the student the mean; nothing where no step was seen."""
        if self._mean is not None:
            for value, mean in zip(_numbers(self._student), _numbers(self._mean.module), strict=True):
                value.copy_(mean)  # whatever device the training left either on

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return self._mean.state_dict() if self._mean is not None else self._saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._saved = state_dict

    def _update(self, mean: Any, current: Any, steps: Any) -> None:
        share = min(self._decay, int(steps) / (int(steps) + _SOON))
        get_ema_multi_avg_fn(share)(mean, current, steps)  # type: ignore[no-untyped-call]


def _numbers(student: nn.Module) -> list[Tensor]:
    """Parameters, and the statistics of normalisation that go with them."""
    values = (*student.parameters(), *student.buffers())
    return [value.detach() for value in values if value.is_floating_point()]


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


class ProgressWatch(Callback):
    """Passes progress on and writes it down; stops a training whose loss is no longer a number.

    Args:
        advance: takes ("train", steps done, steps in all, loss).
        journal: takes the figures.
        figures: gives those of the last step, beside the loss.

    Attributes:
        loss: the last one that was looked at; ``None`` before.
    """

    def __init__(self, advance: Advance, journal: Journal, figures: Callable[[], dict[str, float]]) -> None:
        self._advance, self._journal, self._figures = advance, journal, figures
        self.loss: float | None = None

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step, steps = trainer.global_step, int(trainer.max_steps)
        if step % _REPORT_EVERY and step != steps:
            return
        self.loss = loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise WorkError(f"the loss is no longer a number at step {step}; try a smaller --lr")
        self._journal.write(step, {"loss": loss} | self._figures())
        self._advance("train", step, steps, f"loss {loss:.4f}")

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.loss = state_dict["loss"]
