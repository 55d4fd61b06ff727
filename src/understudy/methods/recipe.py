"""Recipes: how a method is trained by default."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from understudy.types import ImageScore, Sampling, Schedule, Statistics

__all__ = [
    "Adam",
    "Optimiser",
    "Recipe",
    "Sgd",
    "Smoothing",
    "Weight",
    "share_of_rate",
]

# Ranges of settings: wide enough for every use, too narrow for a slip of the keyboard.
Weight = Annotated[float, Field(ge=0, le=1000)]
Smoothing = Annotated[float, Field(ge=0, le=64)]


_WARM_UP = 0.05  # share of the steps in which the learning rate rises


def share_of_rate(schedule: Schedule, step: int, steps: int) -> float:
    """Share of the learning rate that step ``step`` of ``steps`` takes, in (0, 1].

    ``constant`` is always 1. ``cosine`` rises linearly over the first twentieth of the steps, then falls as
    half a cosine wave that reaches zero one step after the last.
    """
    if schedule == "constant":
        return 1.0
    rising = max(1, round(_WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


@dataclass(frozen=True)
class Adam:
    """Adam, which RD and SNL use; the fields are those of ``torch.optim.Adam``."""

    lr: float = 0.005
    betas: tuple[float, float] = (0.5, 0.999)

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, fused=True)


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent, which STPM uses; the fields are those of ``torch.optim.SGD``."""

    lr: float = 0.4
    momentum: float = 0.9
    weight_decay: float = 1e-4

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.SGD(
            parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=True
        )


Optimiser = Adam | Sgd


@dataclass(frozen=True)
class Recipe:
    """How a method is trained. The defaults are those of the papers.

    Attributes:
        optimiser: optimiser with its learning rate.
        schedule: schedule of the learning rate; the papers keep it constant.
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
