"""Recipes: how a method is trained by default."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.optim.optimizer import ParamsT

from understudy.methods.stable_adamw import StableAdamWOptimiser
from understudy.types import ImageScore, Sampling, Schedule, Statistics

__all__ = [
    "CODEBOOK",
    "Adam",
    "AdamW",
    "CodebookSettings",
    "Depth",
    "Optimiser",
    "Recipe",
    "Sgd",
    "Smoothing",
    "StableAdamW",
    "StudentKind",
    "Weight",
    "at_their_rates",
    "share_of_rate",
]

# Ranges of settings: wide enough for every use, too narrow for a slip of the keyboard.
Weight = Annotated[float, Field(ge=0, le=1000)]
Smoothing = Annotated[float, Field(ge=0, le=64)]
Depth = Annotated[int, Field(ge=1, le=64)]

StudentKind = Literal["convolutional", "transformer"]


class CodebookSettings(BaseModel):
    """Settings that all methods share: what stands beside the student.

    Attributes:
        codebook: number of centres of each product, at most 4096; 0 for no codebook, as in the papers. The
            tuned recipes have 300. See :class:`understudy.distill.codebook.Codebook`.
        logical: whether a picture's score also counts how unusual its composition is, so that a missing or
            surplus part shows; see :class:`understudy.distill.composition.Composition`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codebook: int = Field(default=0, ge=0, le=4096)
    logical: bool = Field(default=False, exclude_if=operator.not_)  # models without it are as they were


CODEBOOK = {"codebook": 300}
"""Setting of the tuned recipes; docs/decisions/0050."""

_WARM_UP = 0.05  # share of the steps in which the learning rate rises
_FALL, _FALLEN = 0.8, 0.1  # share of the steps after which it falls, and its share from then on


def share_of_rate(schedule: Schedule, step: int, steps: int, least: float = 0.0) -> float:
    """Share of the learning rate that step ``step`` of ``steps`` takes, in (0, 1].

    ``constant`` is always 1. ``cosine`` rises linearly over the first twentieth of the steps, then falls as
    half a cosine wave that reaches ``least`` one step after the last. ``step`` is 1 in the first four fifths
    of the steps, and a tenth afterwards.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return 1.0 if step < round(_FALL * steps) else _FALLEN
    rising = max(1, round(_WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    wave = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
    return least + (1 - least) * wave


def at_their_rates(student: nn.Module, lr: float) -> ParamsT:
    """Return a student's parameters for an optimiser whose learning rate is ``lr``.

    Modules may say ``rate_share``: the parameters below them then learn at that share of the rate.
    """
    shares = {
        parameter: float(share)
        for module in student.modules()
        if (share := getattr(module, "rate_share", None)) is not None
        for parameter in module.parameters()
    }
    if not shares:
        return student.parameters()
    groups: dict[float, list[nn.Parameter]] = {1.0: []}
    for parameter in student.parameters():
        groups.setdefault(shares.get(parameter, 1.0), []).append(parameter)
    return [{"params": some, "lr": share * lr} for share, some in groups.items() if some]


@dataclass(frozen=True)
class Adam:
    """Adam, which RD and SNL use; the fields are those of ``torch.optim.Adam``."""

    lr: float = 0.005
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = field(default=0.0, repr=False)  # not in digests of trainings, which older ones have
    least: ClassVar[float] = 0.0
    clip: ClassVar[float | None] = None

    def over(self, parameters: ParamsT) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.Adam(
            parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay, fused=True
        )


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent, which STPM uses; the fields are those of ``torch.optim.SGD``."""

    lr: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 1e-4
    least: ClassVar[float] = 0.0
    clip: ClassVar[float | None] = None

    def over(self, parameters: ParamsT) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
        )


@dataclass(frozen=True)
class StableAdamW:
    """StableAdamW, which Dinomaly uses; see :class:`understudy.methods.stable_adamw.StableAdamWOptimiser`.

    Attributes:
        lr: learning rate.
        betas: decay of both moments.
        eps: least denominator.
        weight_decay: share of a weight, times the learning rate, that it loses at each step.
        least: share of the learning rate at which the schedule ``cosine`` ends.
        clip: largest length of all gradients together; longer ones are scaled down to it.
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-10
    weight_decay: float = 1e-4
    least: float = 0.1
    clip: float | None = 0.1

    def over(self, parameters: ParamsT) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return StableAdamWOptimiser(parameters, self.lr, self.betas, self.eps, self.weight_decay)


@dataclass(frozen=True)
class AdamW:
    """AdamW, which UniAD uses; the fields are those of ``torch.optim.AdamW``, and ``clip``.

    Attributes:
        lr: learning rate.
        betas: decay of both moments.
        weight_decay: share of a weight, times the learning rate, that it loses at each step.
        clip: largest length of all gradients together; longer ones are scaled down to it.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    clip: float | None = 0.1
    least: ClassVar[float] = 0.0

    def over(self, parameters: ParamsT) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        optimiser = torch.optim.AdamW(
            parameters, lr=self.lr, betas=self.betas, weight_decay=self.weight_decay, fused=True
        )
        optimiser._step_supports_amp_scaling = False  # else bf16 cannot clip
        return optimiser


Optimiser = Adam | AdamW | Sgd | StableAdamW


@dataclass(frozen=True)
class Recipe:
    """How a method is trained. The defaults are those of the papers.

    Attributes:
        optimiser: optimiser with its learning rate.
        schedule: schedule of the learning rate; the papers of Dinomaly and UniAD alone change it.
        batch_size: pictures a step.
        pictures: number of pictures that the training shows at least, repeated ones included; it sets the
            length if the user names neither epochs nor steps.
        pictures_each: number of pictures that it shows of each category at least, on average.
        validation: share of the good pictures, in [0, 1), that validate the training instead of training.
        choose_epoch: whether to keep the student of the epoch with the lowest maps of the validation
            pictures, or else the last student.
        sampling: ``natural`` shows every picture equally often, ``balanced`` every category.
        statistics: statistics of batch normalisation at the end: ``running``, or ``recomputed`` with the
            final weights; see :func:`understudy.train.finish.recompute_batchnorm`.
        averaging: decay of the running mean of the student's weights that is kept, in [0, 1); 0 keeps the
            last weights.
        image_score: score of a picture; see :class:`understudy.types.Result`.
        settings: settings of the method that differ from its defaults.
    """

    optimiser: Optimiser = field(default_factory=Adam)
    schedule: Schedule = "constant"
    batch_size: int = 8
    pictures: int = 12000
    pictures_each: int = 0
    validation: float = 0.0
    choose_epoch: bool = False
    sampling: Sampling = "natural"
    statistics: Statistics = "running"
    averaging: float = 0.0
    image_score: ImageScore = "maximum"
    settings: Mapping[str, object] = field(default_factory=dict)

    def tuned(self, **changes: Any) -> Recipe:
        """Change the recipe for a model of several products, with settings that help every method.

        Args:
            changes: further fields to change.
        """
        return replace(
            self, sampling="balanced", statistics="recomputed", image_score="comparable", **changes
        )

    def seen(self, categories: int) -> int:
        """Number of pictures that a training on so many categories shows, repeated ones included."""
        return max(self.pictures, self.pictures_each * categories)
