"""The training loop: fits a Distiller with Lightning; interruptions do not change the result."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from understudy.data.features import FeatureStore, as_features
from understudy.data.sampler import BalancedOrder, NaturalOrder, SeededBatches
from understudy.data.store import PictureStore
from understudy.distill.acceleration import kept_memory
from understudy.distill.cram import CRAM
from understudy.distill.distiller import Distiller
from understudy.distill.network import Normaliser
from understudy.errors import InputError
from understudy.folders import STATE, TRAINING
from understudy.methods.recipe import share_of_rate
from understudy.progress import Advance, ignore_progress
from understudy.runtime.preprocess import Preprocess
from understudy.train.callbacks import AveragedWeights, BestEpoch, Journal, ProgressWatch
from understudy.train.finish import MOST_BATCHES, recompute_batchnorm
from understudy.train.messages import mute_lightning, translate_errors
from understudy.train.plan import TrainingPlan
from understudy.types import Features, Pair, PrecisionChoice

__all__ = ["Trained", "begun_precision", "checkpoint_file", "journal_file", "train"]


def checkpoint_file(folder: Path) -> Path:
    """Return the file that keeps the state of an unfinished training in ``folder``."""
    return folder / TRAINING / STATE[0]


def journal_file(folder: Path) -> Path:
    """Return the file with the figures of an unfinished training in ``folder``, step by step."""
    return folder / TRAINING / STATE[1]


def begun_precision(folder: Path) -> PrecisionChoice:
    """Return the precision of the unfinished training in ``folder``; ``auto`` if there is none that says it.

    Raises:
        InputError: the checkpoint is damaged.
    """
    path = checkpoint_file(folder)
    begun: PrecisionChoice = _read_checkpoint(path).get("precision", "auto") if path.is_file() else "auto"
    return begun


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """Read the state of an unfinished training; nothing but tensors and plain values is unpickled.

    Raises:
        InputError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(path) as parts:
            damaged = parts.testzip()  # torch itself checks no checksum
        if damaged:
            raise ValueError(damaged)
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the unpickler raise almost anything
        raise InputError(f"the unfinished training {path} is damaged; start anew with --overwrite") from error
    return state


@dataclass(frozen=True)
class Trained:
    """How a training ended.

    Attributes:
        step: step whose student was kept.
        loss: last loss that was logged, possibly before a stop; ``None`` if there is none.
        seconds: duration of all steps in seconds, including those before a stop.
    """

    step: int
    loss: float | None
    seconds: float


def train(
    distiller: Distiller,
    pictures: PictureStore,
    preprocess: Preprocess,
    plan: TrainingPlan,
    folder: Path,
    *,
    description: str,
    categories: Sequence[str] | None = None,
    validation: PictureStore | None = None,
    features: FeatureStore | None = None,
    resume: bool = False,
    advance: Advance = ignore_progress,
) -> Trained:
    """Train the student in place; the teacher does not change.

    Args:
        distiller: distiller on the CPU; returned there, in eval mode.
        pictures: windows of good pictures.
        preprocess: turns windows into input.
        plan: plan of the training.
        folder: checkpoints and ``training.jsonl`` go into its private subfolder.
        description: names method, settings and teacher; must be equal when a training is resumed.
        categories: category of each window, to learn from every category equally often; ``None`` learns from
            every window equally often.
        validation: windows that choose the epoch to keep; ``None`` keeps the last step.
        features: teacher features of every window, for a student that does not look at pictures.
        resume: continue from the checkpoint in ``folder``.
        advance: called every few steps with ("train", steps done, steps in all, loss).

    Returns:
        How the training ended.

    Raises:
        InputError: there is nothing to resume, or it is another training; batches are too small; or a picture
            that has to be decoded again is missing.
        WorkError: a checkpoint cannot be written, a process that decodes pictures was killed, or the loss is
            infinite or NaN.
    """
    path = checkpoint_file(folder)
    fingerprint = _fingerprint(plan, pictures, categories, validation, description)
    done = _checked(path, fingerprint) if resume else {}
    start = int(done.get("global_step", 0))
    module = TrainingModule(distiller, preprocess, plan, fingerprint, done.get("seconds", 0.0))
    order: NaturalOrder | BalancedOrder
    if categories is None:
        order = NaturalOrder(len(pictures), plan.batch_size, plan.seed)
    else:
        order = BalancedOrder(categories, plan.batch_size, plan.seed)
    best = BestEpoch(distiller, partial(module.error, validation or pictures), order.steps_per_epoch)
    mean = AveragedWeights(distiller.student, plan.averaging)
    watch = ProgressWatch(advance, Journal(journal_file(folder), start), module.figures)
    saver = ModelCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        every_n_train_steps=plan.checkpoint_every,
        enable_version_counter=False,
    )
    with mute_lightning(), translate_errors(folder):
        trainer = L.Trainer(
            accelerator="gpu" if plan.device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_steps=plan.steps,
            max_epochs=-1,
            gradient_clip_val=getattr(plan.optimiser, "clip", None),
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[
                watch,
                *([best] if validation else []),
                *([mean] if plan.averaging else []),
                saver,
            ],
        )
        seen: PictureStore | FeatureStore = pictures if features is None else features

        def loader(start: int, stop: int) -> DataLoader[Any]:
            return DataLoader(
                seen,
                batch_sampler=SeededBatches(order, stop, start),
                num_workers=seen.workers,
                persistent_workers=seen.workers > 0,  # Lightning ends them at once, whatever happens
            )

        with kept_memory() if plan.device.type == "cpu" else nullcontext():
            trainer.fit(
                module, loader(start, plan.steps), ckpt_path=path if resume else None, weights_only=True
            )
            trainer.save_checkpoint(path)  # what follows can fail, on a full disk for example
            best.restore()
            mean.restore()
            if plan.statistics == "recomputed":
                module.to(plan.device).recompute_batchnorm(
                    loader(plan.steps, plan.steps + min(plan.steps, MOST_BATCHES))
                )
    distiller.to("cpu").eval()
    return Trained(best.step if best.lowest is not None else plan.steps, watch.loss, module.seconds)


class TrainingModule(L.LightningModule):
    """What Lightning needs: the loss of a batch, the optimiser, and the content of a checkpoint.

    Args:
        distiller: distiller; its student is trained.
        preprocess: turns windows into input.
        plan: plan of the training.
        fingerprint: digest that identifies this training in checkpoints.
        seconds: duration of the training before it was resumed.

    Attributes:
        terms: terms of the loss of the last step, by name.
    """

    strict_loading = False  # a checkpoint holds the student only

    def __init__(
        self,
        distiller: Distiller,
        preprocess: Preprocess,
        plan: TrainingPlan,
        fingerprint: str,
        seconds: float,
    ) -> None:
        super().__init__()
        self._began = time.monotonic() - seconds
        self.terms: dict[str, Tensor] = {}
        self.distiller = distiller.to(memory_format=torch.channels_last)
        self._plan, self._fingerprint = plan, fingerprint
        self._inputs = Normaliser(preprocess)
        self._draws = any(isinstance(m, nn.Dropout) and m.p for m in distiller.student.modules())
        fast: Callable[[Any], Any] = torch.compile if plan.compiled else _as_it_is
        self._of_images: Callable[[Tensor, Tensor | None], list[Pair]] = fast(distiller.pairs)
        self._of_features: Callable[[Features, None, Tensor | None], list[Pair]] = fast(distiller.pairs_from)

    @property
    def seconds(self) -> float:
        """Duration of the training in seconds, without the pause between a stop and a resume."""
        return time.monotonic() - self._began

    def training_step(self, batch: Tensor | list[Tensor], batch_idx: int) -> Tensor:
        """(B, S, S, 3 or 4) uint8 windows, or (B, h, w, D) features per level -> scalar loss."""
        if self._draws:
            torch.manual_seed(_seed_of(self._plan.seed, self.global_step))
        pairs = self._pairs(batch)
        shift = _partner_shift(self._plan.seed, self.global_step, len(pairs[0].teacher))
        self.terms = self.distiller.loss(pairs, shift, self.global_step / self._plan.steps)
        return torch.stack(list(self.terms.values())).sum()

    def figures(self) -> dict[str, float]:
        """Return each term of the last loss, and how much the centres of every CRAM are used."""
        figures = {name: float(term.detach()) for name, term in self.terms.items()}
        crams = [m for m in self.distiller.student.modules() if isinstance(m, CRAM)]
        for i, cram in enumerate(crams):
            figures |= {f"cram{i}_{name}": value for name, value in cram.usage().items()}
        return figures

    def error(self, pictures: PictureStore) -> float:
        """Return the mean of the anomaly maps of some windows; each window counts alike.

        Features are computed in the precision of the training, maps in float32.
        """
        total = 0.0
        loader = DataLoader(pictures, batch_size=self._plan.batch_size, num_workers=pictures.workers)
        for batch in loader:
            images, valid = self._inputs(batch.to(self.device))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._plan.precision == "bf16"):
                pairs = self.distiller.pairs(images, valid)
            maps = self.distiller.to_map(pairs, (images.shape[-2], images.shape[-1]), valid)
            if valid is not None:
                maps = (maps * valid).sum((1, 2, 3)) / valid.sum((1, 2, 3))
            total += float(maps.mean()) * len(batch)
        return total / len(pictures)

    def recompute_batchnorm(self, batches: DataLoader[Any]) -> None:
        """Recompute the statistics of batch normalisation, in the precision of the training."""

        def forward(batch: Tensor | list[Tensor]) -> None:
            moved = [b.to(self.device) for b in batch] if isinstance(batch, list) else batch.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._plan.precision == "bf16"):
                self._pairs(moved)

        # A compiled forward would be compiled once more, for statistics that are kept in another way.
        self._of_images, self._of_features = self.distiller.pairs, self.distiller.pairs_from
        recompute_batchnorm(self.distiller.student, batches, forward)

    def _pairs(self, batch: Tensor | list[Tensor]) -> list[Pair]:
        """Windows, or stored features -> pairs of teacher and student features."""
        if isinstance(batch, Tensor):
            return self._of_images(*self._inputs(batch))
        features, valid = as_features(batch)
        return self._of_features(features, None, valid)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the plan's optimiser for the student, and its learning rate as a function of the step."""
        plan = self._plan
        optimiser = plan.optimiser.over(self.distiller.student.parameters())
        least = getattr(plan.optimiser, "least", 0.0)
        rates = LambdaLR(optimiser, lambda step: share_of_rate(plan.schedule, step, plan.steps, least))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rates, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen teacher out of a checkpoint; add fingerprint, duration and precision."""
        state = checkpoint["state_dict"]
        for key in [k for k in state if k.startswith("distiller.teacher.")]:
            del state[key]
        checkpoint["fingerprint"] = self._fingerprint
        checkpoint["seconds"] = self.seconds
        checkpoint["precision"] = self._plan.precision


def _as_it_is(function: Any) -> Any:
    """Return a function unchanged, where torch.compile is not asked for."""
    return function


def _partner_shift(seed: int, step: int, batch: int) -> int:
    """Return how far a picture's partner is from it in the batch, 1..B-1; depends on seed and step only."""
    if batch < 2:
        return 0
    generator = torch.Generator().manual_seed(_seed_of(seed, step))
    return int(torch.randint(1, batch, (), generator=generator))


def _seed_of(seed: int, step: int) -> int:
    """Return what seeds a step's random numbers, so that a resumed training draws the same ones."""
    return seed * 1_000_003 + step


def _fingerprint(
    plan: TrainingPlan,
    pictures: PictureStore,
    categories: Sequence[str] | None,
    validation: PictureStore | None,
    description: str,
) -> str:
    """Return a digest of everything that decides the result; not of checkpoints and caches."""
    what = (
        description,
        plan.batch_size,
        plan.optimiser,
        plan.schedule,
        plan.statistics,
        plan.averaging,
        plan.seed,
        plan.precision,
        plan.steps,
        list(categories) if categories else None,
        validation.names if validation else None,
    )
    return hashlib.sha256(repr((what, pictures.names)).encode()).hexdigest()


def _checked(path: Path, fingerprint: str) -> dict[str, Any]:
    """Return the state of a checkpoint; refuse that of another training."""
    if not path.is_file():
        raise InputError(f"{path.parent.parent} holds no unfinished training; leave out --resume")
    state = _read_checkpoint(path)
    if state.get("fingerprint") != fingerprint:
        raise InputError(
            f"{path.parent.parent} holds another training (other pictures, settings, seed or "
            "length); resume it with its own arguments, or start anew with --overwrite"
        )
    return state
