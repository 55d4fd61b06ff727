"""The training loop: fits a Distiller with Lightning; interruptions do not change the result."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from understudy.data.features import FeatureStore
from understudy.data.sampler import BalancedOrder, NaturalOrder, SeededBatches
from understudy.data.store import PictureStore
from understudy.distill.acceleration import kept_memory
from understudy.distill.across import batchnorm_across
from understudy.distill.distiller import Distiller
from understudy.distill.network import float32_products
from understudy.errors import InputError
from understudy.folders import STATE, TRAINING
from understudy.progress import Advance, ignore_progress
from understudy.runtime.preprocess import Preprocess
from understudy.train.callbacks import AveragedWeights, BestEpoch, Journal, ProgressWatch, read_measured
from understudy.train.copies import in_copies, packed, unpacked
from understudy.train.finish import MOST_BATCHES
from understudy.train.messages import mute_lightning, translate_errors
from understudy.train.module import TrainingModule
from understudy.train.plan import TrainingPlan
from understudy.train.processes import ALONE, Group, JoinedEnvironment
from understudy.types import PrecisionChoice

__all__ = ["Trained", "begun_measured", "begun_precision", "checkpoint_file", "journal_file", "train"]


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


def begun_measured(folder: Path) -> dict[str, float] | None:
    """Return what chose the precision of the unfinished training in ``folder``, as its journal says it."""
    return read_measured(journal_file(folder))


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
    group: Group = ALONE,
) -> Trained:
    """Train the student in place; the teacher does not change.

    If the plan has several processes and this one is alone, copies of it train.

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
        group: processes that train together; each has the same arguments.

    Returns:
        How the training ended.

    Raises:
        InputError: there is nothing to resume, or it is another training; batches are too small; or a picture
            that has to be decoded again is missing.
        WorkError: a checkpoint cannot be written, a process that decodes pictures was killed, or the loss is
            infinite or NaN.
    """
    fingerprint = _fingerprint(plan, pictures, categories, validation, description)

    loop = partial(
        _loop,
        distiller,
        pictures,
        preprocess,
        plan,
        folder,
        fingerprint,
        categories,
        validation,
        features,
        resume,
    )

    def in_a_copy(group: Group, advance: Advance) -> tuple[Trained, bytes]:
        return loop(group, advance), packed(distiller.learned() if group.is_first else {})

    if plan.processes > group.size:
        trained, learned = in_copies(plan.processes, in_a_copy, advance)
        distiller.load_learned(unpacked(learned))
    else:
        trained = loop(group, advance)
    distiller.to("cpu").eval()
    return trained


def _loop(
    distiller: Distiller,
    pictures: PictureStore,
    preprocess: Preprocess,
    plan: TrainingPlan,
    folder: Path,
    fingerprint: str,
    categories: Sequence[str] | None,
    validation: PictureStore | None,
    features: FeatureStore | None,
    resume: bool,
    group: Group,
    advance: Advance,
) -> Trained:
    """Train in this process, with the others of its group; see :func:`train`."""
    group.total(0)  # all have their pictures; from here on none waits for another for long
    path = checkpoint_file(folder)
    done = _checked(path, fingerprint) if resume else {}
    start = int(done.get("global_step", 0))
    module = TrainingModule(distiller, preprocess, plan, fingerprint, done.get("seconds", 0.0), group)
    order: NaturalOrder | BalancedOrder
    if categories is None:
        order = NaturalOrder(len(pictures), plan.batch_size, plan.seed)
    else:
        order = BalancedOrder(categories, plan.batch_size, plan.seed)
    best = BestEpoch(distiller, partial(module.error, validation or pictures), order.steps_per_epoch)
    mean = AveragedWeights(distiller.student, plan.averaging)
    journal = Journal(journal_file(folder), start, plan.measured) if group.is_first else None
    watch = ProgressWatch(advance, journal, module.figures)
    saver = ModelCheckpoint(
        dirpath=path.parent,
        filename=path.stem,
        every_n_train_steps=plan.checkpoint_every,
        enable_version_counter=False,
    )
    across = batchnorm_across(distiller.student, plan.device) if group.size > 1 else nullcontext()
    with mute_lightning(), translate_errors(folder), across:
        trainer = L.Trainer(
            accelerator="gpu" if plan.device.type == "cuda" else "cpu",
            **_devices(plan, group),
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
                batch_sampler=SeededBatches(order, stop, start, (group.rank, group.size)),
                num_workers=seen.workers,
                persistent_workers=seen.workers > 0,  # Lightning ends them at once, whatever happens
            )

        with kept_memory() if plan.device.type == "cpu" else float32_products("high", plan.device):
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
    return Trained(best.step if best.lowest is not None else plan.steps, watch.loss, module.seconds)


def _devices(plan: TrainingPlan, group: Group) -> dict[str, Any]:
    """Return what Lightning's Trainer needs to know of the devices."""
    if group.size == 1:
        return {"devices": 1}
    strategy = DDPStrategy(
        cluster_environment=JoinedEnvironment(group),
        static_graph=True,  # finds parameters without a gradient: blocks behind the last level of a copy
    )
    return {
        "devices": plan.devices,
        "num_nodes": plan.nodes,
        "strategy": strategy,
        "use_distributed_sampler": False,  # the order of pictures is ours
    }


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
