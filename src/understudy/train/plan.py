"""From the options of a training to its plan: the recipe, the preprocessing, the length, the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import ValidationError

from understudy.distill.network import resolve_device
from understudy.distill.precision import choose_precision
from understudy.distill.weights import Normalisation
from understudy.errors import InputError
from understudy.methods import method_named, settings_for
from understudy.methods.recipe import Optimiser, Recipe
from understudy.runtime.depth import Depth
from understudy.runtime.preprocess import Preprocess
from understudy.train.options import FitOptions
from understudy.types import Level, Schedule, Statistics

__all__ = ["TrainingPlan", "plan_for", "preprocess_for", "recipe_of", "require_compiler"]

# options that take the place of the recipe's field of that name
_NAMED = ("batch_size", "schedule", "sampling", "statistics", "averaging", "validation", "image_score")


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides the result of a training, besides the distiller and the pictures.

    Attributes:
        steps: number of optimiser steps.
        batch_size: pictures per step.
        optimiser: optimiser and its learning rate.
        seed: seed of the order of pictures and of the choice of partners.
        precision: precision of the forward and backward pass; weights stay in float32.
        device: device that trains.
        checkpoint_every: steps between two checkpoints.
        compiled: run teacher and student through torch.compile.
        schedule: schedule of the learning rate over the steps.
        statistics: statistics of batch normalisation at the end; see :mod:`understudy.train.finish`.
        averaging: decay of the mean of the weights that is kept, in [0, 1); 0 keeps the last weights. See
            :class:`understudy.train.callbacks.AveragedWeights`.
        measured: milliseconds of layers like the student's, by precision, which chose ``precision``; ``None``
            if that was asked for.
        devices: devices of a machine that train together; ``batch_size`` counts the pictures of all.
        nodes: machines that train together.
    """

    steps: int
    batch_size: int
    optimiser: Optimiser
    seed: int
    precision: Literal["32", "bf16"]
    device: torch.device
    checkpoint_every: int = 100
    compiled: bool = False
    schedule: Schedule = "constant"
    statistics: Statistics = "recomputed"
    averaging: float = 0.0
    measured: Mapping[str, float] | None = None
    devices: int = 1
    nodes: int = 1

    @property
    def processes(self) -> int:
        """Number of processes that train together, one per device."""
        return self.devices * self.nodes


def recipe_of(asked: FitOptions) -> Recipe:
    """Return the recipe that was asked for, changed by the options that were given.

    A transformer as student of another method is trained as ``dinomaly`` trains it.

    Raises:
        InputError: the method or a setting is unknown, and the message lists the known ones; or validation or
            averaging was asked for and does not go with the recipe; or compositions with tiles or scores that
            are not comparable.
    """
    recipe = method_named(asked.method).recipes[asked.recipe]
    takes_either = asked.method in ("rd", "snl-rd")
    if takes_either and {**recipe.settings, **asked.settings}.get("student") == "transformer":
        recipe = replace(method_named("dinomaly").recipes[asked.recipe], settings=recipe.settings)
    if asked.validation and not recipe.validation:
        raise InputError(f"{asked.method} has no validation step; leave out --validation")
    named = {name: value for name in _NAMED if (value := getattr(asked, name)) is not None}
    optimiser = replace(recipe.optimiser, lr=asked.lr) if asked.lr else recipe.optimiser
    recipe = replace(recipe, optimiser=optimiser, settings={**recipe.settings, **asked.settings}, **named)
    if recipe.averaging and recipe.choose_epoch and recipe.validation:
        raise InputError(
            f"{asked.method} keeps its best epoch's student; leave out --averaging, or set --validation 0"
        )
    settings = settings_for(asked.method, recipe.settings)
    if getattr(settings, "logical", False) and asked.tile:
        raise InputError("logical=true compares whole pictures, and --tile cuts them; leave out one of both")
    if getattr(settings, "logical", False) and recipe.image_score != "comparable":
        raise InputError(
            f"logical=true adds to comparable scores, and these are {recipe.image_score!r}; name "
            "--image-score comparable, or leave out logical=true"
        )
    return recipe


def preprocess_for(asked: FitOptions, look: Normalisation, depth: Depth | None = None) -> Preprocess:
    """Return how pictures become the teacher's input.

    Args:
        asked: options of the training.
        look: mean and standard deviation that the teacher was trained with.
        depth: range of pictures with more than 8 bits a channel.

    Raises:
        InputError: the overlap or the size of the tiles is out of range.
    """
    try:
        return Preprocess(
            image_size=asked.image_size,
            mean=look.mean,
            std=look.std,
            keep_aspect=asked.keep_aspect,
            tile=asked.tile,
            overlap=asked.overlap,
            depth=depth,
        )
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def plan_for(
    asked: FitOptions, recipe: Recipe, n_pictures: int, n_categories: int, levels: Sequence[Level]
) -> TrainingPlan:
    """Return the plan of a training.

    Args:
        asked: options of the training.
        recipe: recipe, from :func:`recipe_of`.
        n_pictures: number of windows to learn from.
        n_categories: number of categories.
        levels: levels of the teacher, whose shapes a measurement of the precision takes.

    Raises:
        InputError: the device is not there; a compiler was asked for and does not work; or a batch cannot be
            shared out.
    """
    device = resolve_device(asked.device)
    if asked.compile:
        require_compiler(device)
    batch_size = min(recipe.batch_size, n_pictures)
    shares = asked.devices * asked.nodes
    if batch_size % shares:
        raise InputError(
            f"{shares} processes cannot share a batch of {batch_size} pictures equally; ask for --batch-size "
            f"{max(1, batch_size // shares) * shares}, or for other --devices"
        )
    steps = asked.max_steps or max(1, recipe.seen(n_categories) // batch_size)
    if asked.epochs:
        steps = asked.epochs * (n_pictures // batch_size)
    chosen = choose_precision(asked.precision, device, levels, asked.image_size, batch_size)
    return TrainingPlan(
        steps=steps,
        batch_size=batch_size,
        optimiser=recipe.optimiser,
        schedule=recipe.schedule,
        seed=asked.seed,
        precision=chosen.precision,
        measured=chosen.milliseconds,
        device=device,
        checkpoint_every=asked.checkpoint_every,
        compiled=asked.compile,
        statistics=recipe.statistics,
        averaging=recipe.averaging,
        devices=asked.devices,
        nodes=asked.nodes,
    )


def require_compiler(device: torch.device) -> None:
    """Compile one addition, to find a missing compiler before any other work is spent.

    Raises:
        InputError: it does not compile, for example because there is no compiler.
    """
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(1, device=device))
    except Exception as error:  # a missing or broken compiler may raise anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        wanted = "a C++ compiler such as g++" if device.type == "cpu" else "Triton and a C compiler"
        raise InputError(
            f"--compile cannot be used here: {reason}; it needs {wanted}, or leave it out"
        ) from error
