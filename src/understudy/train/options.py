"""The options of a training, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from understudy.errors import InputError
from understudy.train.presets import PRESETS, with_preset
from understudy.types import (
    LEAST_RATE,
    DeviceChoice,
    ImageScore,
    PrecisionChoice,
    PresetName,
    RecipeName,
    Sampling,
    Schedule,
    Statistics,
    StrategyChoice,
    TrackerName,
)

__all__ = ["FitOptions", "fit_options"]


class FitOptions(BaseModel):
    """Options of a training; ``None`` means the default of the recipe or of the teacher.

    Each option is written here once. :func:`understudy.fit` takes them as keywords, ``understudy fit`` as
    options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    preset: PresetName = "fast"
    """Picture size, method and teacher by what matters most. Image AUROC on twelve real products: fast 93.9
    (256 px), balanced 95.2 (384 px), accurate 95.3 (512 px, for the finest defects); a training takes 1.4,
    3.2 and 5.3 minutes on two cores. --method, --teacher and --image-size go before it."""
    method: str = PRESETS["fast"]["method"]
    """Method to train: snl-rd, snl-fd, rd, rdpp, stpm, mkd, uninformed-students, dskd, dinomaly, uniad, or a
    method of your own; the preset's by default."""
    recipe: RecipeName = "tuned"
    """Recipe of the training: ``tuned`` is the best that we know for several products, ``paper`` has the
    optimiser, loss and map of the method's paper; options that are given come first."""
    settings: dict[str, object] = Field(default_factory=dict)
    """Settings of the method, such as centers=25."""
    teacher: str = Field(default=PRESETS["fast"]["teacher"], min_length=1)
    """Teacher network: any timm backbone; the preset's by default. The weights of tf_efficientnet_lite0 come
    with the installation."""
    teacher_weights: str | None = Field(default=None, min_length=1)
    """Weights of the teacher: a .safetensors or .pth file, or the word random; by default the embedded ones,
    or those of the model hub."""
    strides: tuple[Annotated[int, Field(ge=1, le=4096)], ...] | None = Field(default=None, min_length=1)
    """Levels of the teacher by their stride in pixels, such as 8,16,32."""
    image_size: int = Field(default=PRESETS["fast"]["image_size"], ge=32, le=4096)
    """Side of the network's square input in pixels, from 32 to 4096; the preset's by default."""
    keep_aspect: bool = False
    """Pad pictures to squares instead of stretching them."""
    tile: int | None = Field(default=None, ge=32, le=4096)
    """Side of the square tiles that pictures are cut into, in picture pixels, from 32 to 4096; by default
    pictures are not cut."""
    overlap: int = Field(default=0, ge=0, le=2048)
    """Smallest overlap of neighbouring tiles in picture pixels, at most half a tile."""
    bit_depth: int | None = Field(default=None, ge=8, le=32)
    """Bits of a channel in pictures of more than 8 bits, from 8 to 32, such as 12 for a camera that stores 12
    bits in 16; by default the smallest of 8, 12, 14, 16 and more that holds all values of the set."""
    roi: Path | None = None
    """Mask of the pixels that count, white where they do and black where they do not; or a folder with one
    mask per category."""
    epochs: int | None = Field(default=None, ge=1, le=100_000)
    """Length of the training in passes over the pictures, from 1 to 100000; the recipe's length by
    default."""
    max_steps: int | None = Field(default=None, ge=1, le=10_000_000)
    """Length of the training in optimiser steps, from 1 to 10000000, in place of epochs."""
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    """Pictures per optimiser step, from 1 to 4096; the recipe's by default."""
    lr: float | None = Field(default=None, gt=0, le=10)
    """Highest learning rate of the schedule, above 0 and at most 10; the recipe's by default."""
    schedule: Schedule | None = None
    """Schedule of the learning rate: constant; cosine, which warms up and then falls to zero; or step, which
    falls to a tenth after four fifths of the training; the recipe's by default."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Random seed, at least 0."""
    categories: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Products to train on; all by default."""
    holdout: float = Field(default=0.1, ge=0, lt=1)
    """Share of each product's good pictures, in [0, 1), that is kept from training to show how new pictures
    score."""
    validation: float | None = Field(default=None, ge=0, lt=1)
    """Share of the other good pictures, in [0, 1), that chooses an epoch or scales maps and is not learned
    from; validation pictures of the data set take their place."""
    false_alarm_rate: float = Field(default=0.01, ge=LEAST_RATE, le=1 - LEAST_RATE)
    """Share of good pictures that may FAIL, in (0, 1); it is estimated, and understudy calibrate promises
    it."""
    review_budget: float = Field(default=0.05, ge=LEAST_RATE, le=1 - LEAST_RATE)
    """Share of good pictures that a person can look at, in (0, 1): a REVIEW by its score, or a picture of a
    product that seems unknown."""
    device: DeviceChoice = "auto"
    """Device that trains; auto takes a GPU if there is one."""
    devices: int = Field(default=1, ge=1, le=1024)
    """Devices of a machine that train together, from 1 to 1024: GPUs, or processes where there is none; the
    batch size counts the pictures of all."""
    nodes: int = Field(default=1, ge=1, le=1024)
    """Machines that train together, from 1 to 1024; torchrun or SLURM starts the command on each."""
    strategy: StrategyChoice = "auto"
    """How several devices train: ddp starts the whole command once per device by torchrun; auto does so for
    GPUs, and else starts processes for the training loop alone."""
    precision: PrecisionChoice = "auto"
    """Precision of the training; auto takes bf16 where a measurement of half a second says that it is
    faster."""
    sampling: Sampling | None = None
    """Learn from every category equally often (balanced), or from every picture (natural, as in the papers);
    the recipe's by default."""
    statistics: Statistics | None = None
    """Statistics of batch normalisation: recomputed with the final weights, or the running mean of the
    training; the recipe's by default."""
    averaging: float | None = Field(default=None, ge=0, le=0.9999)
    """Decay of the mean of the student's weights that is kept, from 0 to 0.9999, such as 0.98, which averages
    about fifty steps; 0 keeps the last weights."""
    image_score: ImageScore | None = None
    """Score of a picture: its maps compared with those of good pictures of its product (comparable), the
    maximum of its map (maximum), or what the method's paper says (own); the recipe's by default."""
    cache: str = "auto"
    """Memory for decoded pictures: auto, off, or a size such as 512MB or 2GB; the result does not depend on
    it."""
    workers: int | None = Field(default=None, ge=0, le=256)
    """Processes that decode pictures that do not fit in that memory, from 0 to 256; one per core, and eight
    at most, by default."""
    cache_features: str = Field(default="auto", min_length=1)
    """Compute the features of the frozen teacher once: auto keeps them in memory, a folder keeps them in
    files, off computes them at each step."""
    compile: bool = False
    """Train through torch.compile; needs a compiler."""
    checkpoint_every: int = Field(default=100, ge=1, le=10_000_000)
    """Steps between two checkpoints, at least 1."""
    logger: tuple[TrackerName, ...] | None = Field(default=None, min_length=1)
    """Also record settings, losses and figures by Lightning's loggers: mlflow, tensorboard or csv; with a
    tracker and test pictures, they are evaluated too."""
    logger_to: str = Field(default="runs", min_length=1)
    """Folder of these records; for mlflow also the address of a server or a database, such as
    http://localhost:5000."""
    resume: bool = False
    """Continue the unfinished training in the model's folder."""
    overwrite: bool = False
    """Discard the model or the unfinished training that the folder holds."""

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any) -> Any:
        return with_preset(given, "fast") if isinstance(given, Mapping) else given

    @field_validator("cache")
    @classmethod
    def _a_size(cls, cache: str) -> str:
        from understudy.data.memory import budget_of  # options must not need the packages for training

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
            raise ValueError("--overlap needs --tile")
        return self

    @model_validator(mode="after")
    def _one_beginning(self) -> FitOptions:
        if self.resume and self.overwrite:
            raise ValueError("--resume keeps what the folder holds and --overwrite discards it; choose one")
        return self


def fit_options(values: Mapping[str, object]) -> FitOptions:
    """Validate options.

    Args:
        values: options by name.

    Raises:
        InputError: an option is unknown, and the message lists the known ones; or a value is out of range.
    """
    try:
        return FitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        rule = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise InputError(f"no option {name!r}; there are {', '.join(FitOptions.model_fields)}") from error
        raise InputError(f"{name}: {rule}, got {first['input']!r:.200}" if name else rule) from error
