"""Everything that can be asked of a fit, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from understudy.errors import InputError
from understudy.types import (
    EMBEDDED_TEACHER,
    DeviceChoice,
    PrecisionChoice,
    RecipeName,
    Sampling,
    Schedule,
    Statistics,
)

__all__ = ["FitOptions", "fit_options"]


class FitOptions(BaseModel):
    """Everything that can be asked of a fit; ``None`` means the recipe's or the teacher's own default.

    Each option is written here once. :func:`understudy.fit` takes them as keywords, ``understudy fit`` as options.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: str = "snl-rd"
    """What to train: snl-rd, snl-fd, rd, stpm, dskd, or a method of your own."""
    recipe: RecipeName = "tuned"
    """How to train: ``tuned`` is the best that we know for a model of several products; ``paper`` has the optimiser,
    loss and map of the method's paper. What is asked for by name goes before it."""
    settings: dict[str, object] = Field(default_factory=dict)
    """Settings of the method, such as centers=25."""
    teacher: str = EMBEDDED_TEACHER
    """The teacher: any timm backbone; the default comes with the installation."""
    teacher_weights: str | None = None
    """Its weights: a .safetensors or .pth file, or the word random; embedded or from the hub by default."""
    strides: tuple[int, ...] | None = None
    """The teacher's levels by their stride, such as 8,16,32."""
    image_size: int = Field(default=256, ge=32, le=4096)
    """Side of the network's square input, in pixels."""
    keep_aspect: bool = False
    """Pad pictures to squares, rather than stretch them."""
    tile: int | None = Field(default=None, ge=32, le=4096)
    """Cut pictures into tiles of that many of their own pixels; whole pictures by default."""
    overlap: int = Field(default=0, ge=0)
    """Least number of pixels that neighbouring tiles share."""
    roi: Path | None = None
    """Mask, white where pixels count and black where not; or a folder with one mask a category."""
    epochs: int | None = Field(default=None, ge=1)
    """Length of the training: passes over the pictures."""
    max_steps: int | None = Field(default=None, ge=1)
    """Length of the training in steps, in place of epochs."""
    batch_size: int | None = Field(default=None, ge=1)
    """Pictures a step."""
    lr: float | None = Field(default=None, gt=0)
    """Learning rate, the highest of its schedule."""
    schedule: Schedule | None = None
    """Of the learning rate: constant, or cosine, which warms up and falls to zero."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Random seed."""
    categories: tuple[str, ...] | None = None
    """Only these products; all by default."""
    holdout: float = Field(default=0.1, ge=0, lt=1)
    """Share of each product's good pictures kept from training, for the thresholds."""
    validation: float | None = Field(default=None, ge=0, lt=1)
    """Share of the rest that is looked at without learning from it, to choose an epoch or to scale maps. A data set's
    own validation pictures take its place."""
    false_alarm_rate: float = Field(default=0.01, gt=0, lt=1)
    """Share of good pictures that may FAIL, at most; or the smallest that the held-out pictures can promise."""
    device: DeviceChoice = "auto"
    """Where to train; auto takes a GPU where there is one."""
    precision: PrecisionChoice = "auto"
    """Precision of training; auto takes bf16 where the hardware has it."""
    sampling: Sampling | None = None
    """Learn from every category equally often (balanced) or from every picture (natural, as in the papers)."""
    statistics: Statistics | None = None
    """Of batch normalisation: recomputed with the final weights, or the running ones that a training leaves."""
    averaging: float | None = Field(default=None, ge=0, lt=1)
    """Keep a mean of the student's weights with this decay, such as 0.98; 0 keeps the last weights."""
    cache: str = "auto"
    """Memory for decoded pictures: auto, off or a size such as 512MB or 2GB. The result does not depend on it."""
    workers: int | None = Field(default=None, ge=0, le=256)
    """Processes that decode what does not fit there; one a core by default."""
    cache_features: str = Field(default="auto", min_length=1)
    """Compute a frozen teacher's features once: in memory (auto), in files in a folder, or never (off)."""
    compile: bool = False
    """Train through torch.compile; needs a compiler."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between two checkpoints."""
    resume: bool = False
    """Go on with the unfinished training in the model's folder."""
    overwrite: bool = False
    """Discard what the model's folder holds."""

    @field_validator("cache")
    @classmethod
    def _a_size(cls, cache: str) -> str:
        from understudy.data.memory import budget_of  # options are read without what training needs

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

    @model_validator(mode="after")
    def _one_beginning(self) -> FitOptions:
        if self.resume and self.overwrite:
            raise ValueError("--resume keeps what the folder holds and --overwrite discards it; choose one")
        return self


def fit_options(values: Mapping[str, object]) -> FitOptions:
    """Validate options.

    Raises:
        InputError: an unknown option (the known ones are listed) or a bad value.
    """
    try:
        return FitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        rule = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            raise InputError(f"no option {name!r}; there are {', '.join(FitOptions.model_fields)}") from error
        raise InputError(f"{name}: {rule}, got {first['input']!r}" if name else rule) from error
