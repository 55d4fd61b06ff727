"""How a method is trained when nothing else is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from understudy.types import Sampling, Schedule, Statistics

__all__ = [
    "Adam",
    "Optimiser",
    "Recipe",
    "Sgd",
    "share_of_rate",
]


_WARM_UP = 0.05  # of the steps


def share_of_rate(schedule: Schedule, step: int, steps: int) -> float:
    """Which share of the learning rate a step takes, of so many: all, or up quickly and down to nothing.

    ``cosine`` rises linearly over the first twentieth of the steps and falls as half a cosine wave, which
    would be at zero one step after the last.
    """
    if schedule == "constant":
        return 1.0
    rising = max(1, round(_WARM_UP * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


@dataclass(frozen=True)
class Adam:
    """Adam, as RD and SNL train."""

    lr: float = 0.005
    betas: tuple[float, float] = (0.5, 0.999)

    def over(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of these parameters."""
        return torch.optim.Adam(parameters, lr=self.lr, betas=self.betas, fused=True)


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent, as STPM trains."""

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
    """How a method is trained; by default as the papers train.

    Attributes:
        optimiser: and its learning rate.
        schedule: of the learning rate; constant in the papers.
        batch_size: pictures a step.
        pictures: length of the training when neither epochs nor steps are asked for: how many pictures
            are seen at least, those seen again included.
        pictures_each: how many of each category are, at least.
        validation: share of the good pictures that the training does not learn from but looks at.
        choose_epoch: keep the student of that epoch whose maps of the validation pictures are the
            lowest on average, instead of the last.
        sampling: learn from every picture equally often, or from every category.
        statistics: of batch normalisation at the end; ``recomputed`` or ``running``; see :func:`understudy.train.finish.recompute_batchnorm`.
        averaging: decay of the mean of the student's weights that is kept; 0 keeps the last ones.
        settings: of the method, where they are not its own default.
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
    settings: Mapping[str, object] = field(default_factory=dict)

    def tuned(self, **changes: Any) -> Recipe:
        """What is better for a model of several products, whatever the method; and what else is told."""
        return replace(self, sampling="balanced", statistics="recomputed", **changes)

    def seen(self, categories: int) -> int:
        """How many pictures a training on so many categories sees."""
        return max(self.pictures, self.pictures_each * categories)
