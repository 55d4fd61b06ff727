"""Everything that can be asked of a fit, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from understudy.data.memory import budget_of
from understudy.device import DeviceChoice, PrecisionChoice
from understudy.distill.teacher import EMBEDDED_TEACHER
from understudy.errors import InputError
from understudy.methods import method_named, settings_for
from understudy.methods.recipe import Recipe, RecipeName, Sampling, Schedule, Statistics

__all__ = ["FitOptions", "fit_options", "recipe_of"]


class FitOptions(BaseModel):
    """Options of :func:`understudy.fit`; ``None`` means the recipe's or the teacher's own default.

    Attributes:
        method: one of ``METHODS``.
        recipe: ``tuned`` is the best that we know for a model of several products, ``paper`` trains as
            the method's paper does; what else is asked for goes before it.
        settings: of the method.
        teacher: timm name.
        teacher_weights: file, ``"random"``, or ``None`` for embedded or hub.
        strides: the teacher's levels.
        image_size: side of the network's square input, in pixels.
        keep_aspect: pad pictures to a square; else they are stretched to it.
        tile: cut pictures into tiles of that many of their own pixels; ``None`` for whole pictures.
        overlap: of neighbouring tiles at least, in the pictures' own pixels.
        roi: mask of the pixels that count, or a folder with one a category; see
            :func:`understudy.runtime.roi.read_rois`.
        epochs: passes over the pictures; excludes ``max_steps``.
        max_steps: optimiser steps.
        batch_size: pictures a step.
        lr: learning rate, the highest of its schedule.
        schedule: of the learning rate: ``constant``, or ``cosine``, which warms up and falls to zero.
        seed: of everything random.
        categories: products to learn; ``None`` for all.
        holdout: share of each category's good pictures kept from training, for the thresholds.
        validation: share of the rest that a training looks at without learning from it, to choose its
            epoch or to scale its maps; a data set's own validation pictures take its place.
        false_alarm_rate: promised by the fresh model, or the smallest that the held-out pictures allow.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: of training; ``auto`` takes bf16 where the hardware has it.
        sampling: ``balanced`` learns from every category equally often (docs/decisions/0020), ``natural``
            from every picture, as in the papers.
        statistics: of batch normalisation: ``recomputed`` over pictures learned from once the weights are
            final (docs/decisions/0033), or the ``running`` ones that a training leaves, as in the papers.
        averaging: decay of the mean of the student's weights that is kept, such as 0.98; 0 keeps the last
            ones, as in the papers.
        cache: memory for decoded pictures: ``auto``, ``off`` or a size such as ``2GB``; the result does
            not depend on it.
        workers: processes that decode the pictures that do not fit there; ``None`` for one a core.
        cache_features: where a frozen teacher's features are kept for a student that looks at nothing else:
            ``auto`` for memory, as far as the cache goes, a folder for files, or ``off``.
        compile: train through torch.compile, which needs a compiler.
        checkpoint_every: steps between two checkpoints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "snl-rd"
    recipe: RecipeName = "tuned"
    settings: dict[str, object] = Field(default_factory=dict)
    teacher: str = EMBEDDED_TEACHER
    teacher_weights: str | None = None
    strides: tuple[int, ...] | None = None
    image_size: int = Field(default=256, ge=32, le=4096)
    keep_aspect: bool = False
    tile: int | None = Field(default=None, ge=32, le=4096)
    overlap: int = Field(default=0, ge=0)
    roi: Path | None = None
    epochs: int | None = Field(default=None, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    lr: float | None = Field(default=None, gt=0)
    schedule: Schedule | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)
    categories: tuple[str, ...] | None = None
    holdout: float = Field(default=0.1, ge=0, lt=1)
    validation: float | None = Field(default=None, ge=0, lt=1)
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=1)
    device: DeviceChoice = "auto"
    precision: PrecisionChoice = "auto"
    sampling: Sampling | None = None
    statistics: Statistics | None = None
    averaging: float | None = Field(default=None, ge=0, lt=1)
    cache: str = "auto"
    workers: int | None = Field(default=None, ge=0, le=256)
    cache_features: str = Field(default="auto", min_length=1)
    compile: bool = False
    checkpoint_every: int = Field(default=100, ge=1)

    @field_validator("cache")
    @classmethod
    def _a_size(cls, cache: str) -> str:
        budget_of(cache)
        return cache

    @model_validator(mode="after")
    def _one_length(self) -> FitOptions:
        if self.epochs and self.max_steps:
            raise ValueError("epochs and max_steps exclude each other")
        return self

    @model_validator(mode="after")
    def _one_framing(self) -> FitOptions:
        if self.keep_aspect and self.tile:
            raise ValueError("keep_aspect and tile exclude each other: tiles keep the aspect anyway")
        if self.overlap and not self.tile:
            raise ValueError("an overlap is of tiles, and none are asked for")
        return self


def fit_options(values: Mapping[str, object]) -> FitOptions:
    """Validate options.

    Raises:
        InputError: an unknown option, method or setting (the known ones are listed) or a bad value.
    """
    try:
        options = FitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "options"
        if first["type"] == "extra_forbidden":
            raise InputError(f"no option {name!r}; there are {', '.join(FitOptions.model_fields)}") from error
        rule = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{name}: {rule}, got {first['input']!r}") from error
    settings_for(options.method, recipe_of(options).settings)
    return options


def recipe_of(asked: FitOptions) -> Recipe:
    """The recipe that was asked for, with everything in it that was asked for by name.

    Raises:
        InputError: an unknown method, one that validates nothing was to validate, or one that keeps its
            best epoch was to keep a mean.
    """
    recipe = method_named(asked.method).recipes[asked.recipe]
    if asked.validation and not recipe.validation:
        raise InputError(f"{asked.method} validates nothing; leave out --validation")
    named = {
        name: value
        for name in ("batch_size", "schedule", "sampling", "statistics", "averaging", "validation")
        if (value := getattr(asked, name)) is not None
    }
    optimiser = replace(recipe.optimiser, lr=asked.lr) if asked.lr else recipe.optimiser
    recipe = replace(recipe, optimiser=optimiser, settings={**recipe.settings, **asked.settings}, **named)
    if recipe.averaging and recipe.choose_epoch and recipe.validation:
        raise InputError(
            f"{asked.method} keeps its best epoch's student; leave out --averaging, or set --validation 0"
        )
    return recipe
