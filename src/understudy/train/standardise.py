"""What an ensemble needs before its first step: patch nets to learn from, and the features' usual values."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from understudy.data.store import PictureStore
from understudy.distill.distiller import Distiller
from understudy.distill.ensemble import EnsembleStudent
from understudy.distill.network import Normaliser, full_precision
from understudy.distill.patch_net import PatchTeacher
from understudy.distill.valid import valid_cells
from understudy.progress import Advance, Reporter, ignore_progress
from understudy.runtime.preprocess import Preprocess
from understudy.train.patch_teacher import distill_patch_teacher

__all__ = ["prepare_student", "standardise_targets"]


def prepare_student(
    distiller: Distiller,
    good: PictureStore,
    preprocess: Preprocess,
    device: torch.device,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> None:
    """Prepare a student of an ensemble; leave any other student as it is.

    What is learned here is part of the student's state, so a checkpoint has it, and a training that is
    resumed must not come here again.

    Args:
        distiller: distiller before the training; changed in place.
        good: windows that will be learned from.
        preprocess: turns windows into input.
        device: device that computes.
        seed: seed of the patches that patch nets are distilled with.
        reporter: takes messages and progress.
    """
    student, reporter = distiller.student, reporter or Reporter()
    if not isinstance(student, EnsembleStudent):
        return
    if isinstance(student.targets, PatchTeacher):
        steps = student.targets.steps
        for net in student.targets.descriptors:
            reporter.say(f"a patch net of {net.side} pixels is distilled from {distiller.teacher.name}")
            distill_patch_teacher(
                net, distiller.teacher, good, preprocess, steps, device, seed, advance=reporter.advance
            )
    standardise_targets(distiller, good, preprocess, device, reporter.advance)


def standardise_targets(
    distiller: Distiller,
    good: PictureStore,
    preprocess: Preprocess,
    device: torch.device,
    advance: Advance = ignore_progress,
    batch_size: int = 8,
) -> None:
    """Set mean and deviation of what an ensemble regresses, over all cells of good pictures that count.

    Args:
        distiller: distiller whose student is an ensemble; changed in place, and on the processor afterwards.
        good: windows that will be learned from.
        preprocess: turns windows into input.
        device: device that computes.
        advance: called with ("standardise", windows done, windows in all, "").
        batch_size: number of windows at once.
    """
    student, training = distiller.to(device).student, distiller.training
    assert isinstance(student, EnsembleStudent)
    inputs = Normaliser(preprocess).to(device)
    moments: list[Tensor] = []
    done, tell = 0, partial(advance, "standardise")
    distiller.eval()
    for batch in DataLoader(good, batch_size=batch_size):
        images, valid = inputs(batch.to(device))
        with torch.no_grad(), full_precision():
            targets = student.raw_targets(images, distiller.teacher(images))
            moments = moments or [_none(each) for each in targets]
        for each, features in zip(moments, targets, strict=True):
            each += _moments(features, valid).cpu()
        done += len(batch)
        tell(done, len(good), "")
    student.fit(moments)
    distiller.train(training).to("cpu")


def _none(features: Tensor) -> Tensor:
    """(B, D, h, w) -> (3, D) float64: moments of no cells at all."""
    return torch.zeros(3, features.shape[1], dtype=torch.float64)


def _moments(features: Tensor, valid: Tensor | None) -> Tensor:
    """(B, D, h, w) -> (3, D) float64 number, sum and sum of squares of each channel over valid cells."""
    cells = features.double().movedim(1, -1)  # (B, h, w, D)
    if valid is not None:
        cells = cells[valid_cells(valid, (features.shape[2], features.shape[3]))[:, 0] > 0]
    cells = cells.reshape(-1, features.shape[1])
    number = cells.new_full((cells.shape[1],), len(cells))
    return torch.stack([number, cells.sum(0), cells.square().sum(0)])
