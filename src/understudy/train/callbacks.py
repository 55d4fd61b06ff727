"""Lightning callbacks of a training: journal and progress, mean of the weights, best epoch."""

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

__all__ = ["AveragedWeights", "BestEpoch", "Journal", "ProgressWatch", "read_measured"]

_REPORT_EVERY = 10  # steps; reading the loss waits for the device
_MEASURED = "milliseconds_"


class Journal:
    """Appends figures to a file; a resumed training keeps the lines up to its first step.

    Args:
        path: file, ``training.jsonl`` beside a model.
        start: step from which the training resumes; 0 begins a new file.
        measured: milliseconds by precision, which chose that of the training, for the first line of a new
            file; ``None`` writes no such line.

    Raises:
        WorkError: the file cannot be written.
    """

    def __init__(self, path: Path, start: int = 0, measured: Mapping[str, float] | None = None) -> None:
        self._path = path
        kept = []
        if start and path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if (step := _step_of(line)) is not None and step <= start]
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        if measured and not kept:
            self.write(0, {_MEASURED + precision: each for precision, each in measured.items()})

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the figures of a step, in the order given."""
        line = json.dumps({"step": step} | {k: float(f"{v:.6g}") for k, v in figures.items()})
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def read_measured(path: Path) -> dict[str, float] | None:
    """Return the milliseconds by precision that a journal begins with; ``None`` if it has none."""
    try:
        with path.open(encoding="utf-8") as file:
            first = json.loads(file.readline())
        found = {k.removeprefix(_MEASURED): float(v) for k, v in first.items() if k.startswith(_MEASURED)}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return found or None


def _step_of(line: str) -> int | None:
    """Return the step of a line of the journal; ``None`` if the line was cut short or damaged."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, TypeError, LookupError):
        return None


_SOON = 10  # steps; over about the first ten the mean follows faster


class AveragedWeights(Callback):
    """Keeps an exponential mean of the student's weights.

    With a constant learning rate the last weights wander around the mean. At step n the mean keeps the share
    min(decay, (n - 1) / (n - 1 + 10)) of its old value, so that a short training forgets its beginning too.

    Args:
        student: student, trained in place.
        decay: share of its old value that the mean keeps at a step, in [0, 1); 0.98 averages about fifty
            steps.
    """

    def __init__(self, student: nn.Module, decay: float) -> None:
        self._student, self._decay = student, decay
        self._mean: AveragedModel | None = None
        self._saved: dict[str, Any] = {}

    def on_train_batch_end(  # noqa: D102
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._averaged().update_parameters(self._student)

    def restore(self) -> None:
        """Give the student the mean of its weights; does nothing if there was no step."""
        if self._mean is not None or self._saved:
            for value, mean in zip(_numbers(self._student), _numbers(self._averaged().module), strict=True):
                value.copy_(mean)  # student and mean may be on different devices

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume."""
        return self._mean.state_dict() if self._mean is not None else self._saved

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self._saved = state_dict

    def _averaged(self) -> AveragedModel:
        """Return the mean, from the checkpoint if there is one."""
        if self._mean is None:
            self._mean = AveragedModel(self._student, multi_avg_fn=self._update, use_buffers=True)
            if self._saved:
                self._mean.load_state_dict(self._saved)
        return self._mean

    def _update(self, mean: Any, current: Any, steps: Any) -> None:
        """Move the mean towards the current weights; torch calls it after each step."""
        seen = int(self._averaged().n_averaged)  # steps is its copy on the device, slow to read
        share = min(self._decay, seen / (seen + _SOON))
        get_ema_multi_avg_fn(share)(mean, current, steps)  # type: ignore[no-untyped-call]


def _numbers(student: nn.Module) -> list[Tensor]:
    """Return the parameters and the statistics of normalisation."""
    values = (*student.parameters(), *student.buffers())
    return [value.detach() for value in values if value.is_floating_point()]


class BestEpoch(Callback):
    """Keeps the student with the lowest mean anomaly map on the validation pictures, as STPM does.

    Args:
        distiller: distiller, trained in place.
        error: returns the mean anomaly map of the validation pictures for the current student.
        every: steps per epoch; the last step is checked too.

    Attributes:
        lowest: lowest mean anomaly map so far; ``None`` before the first epoch has ended.
        step: step of that student.
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
        """Put the best student back; does nothing if none was chosen."""
        if self._weights:
            self._distiller.load_learned(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume."""
        return {"lowest": self.lowest, "step": self.step, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.lowest, self.step = state_dict["lowest"], state_dict["step"]
        self._weights = state_dict["weights"]


class ProgressWatch(Callback):
    """Reports and logs progress; stops a training whose loss is infinite or NaN.

    Args:
        advance: takes ("train", steps done, steps in all, loss).
        journal: takes the figures; ``None`` in a process that reports nothing.
        figures: returns the figures of the last step besides the loss.

    Attributes:
        loss: last loss that was logged; ``None`` before the first.
    """

    def __init__(
        self, advance: Advance, journal: Journal | None, figures: Callable[[], dict[str, float]]
    ) -> None:
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
        figures = {"loss": loss} | self._figures()  # all processes compute them together
        if self._journal is not None:
            self._journal.write(step, figures)
            self._advance("train", step, steps, f"loss {loss:.4f}")

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to resume."""
        return {"loss": self.loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from a checkpoint."""
        self.loss = state_dict["loss"]
