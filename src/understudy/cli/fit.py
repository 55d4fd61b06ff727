"""``understudy fit``: good pictures -> a trained, calibrated model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.arguments import (
    CategoriesOption,
    DataArgument,
    DeviceName,
    DeviceOption,
    ImageSizeOption,
    PrecisionName,
    TeacherWeightsOption,
    split_names,
    split_numbers,
)
from understudy.cli.progress import reporting
from understudy.errors import InputError

__all__ = ["fit"]


class RecipeName(StrEnum):
    """How a method is trained where nothing else is said."""

    TUNED = "tuned"
    PAPER = "paper"


class SamplingName(StrEnum):
    """What is learned from equally often: every picture, or every category."""

    NATURAL = "natural"
    BALANCED = "balanced"


class StatisticsName(StrEnum):
    """Of batch normalisation, in the trained student."""

    RUNNING = "running"
    RECOMPUTED = "recomputed"


class ScheduleName(StrEnum):
    """Of the learning rate."""

    CONSTANT = "constant"
    COSINE = "cosine"


def fit(
    data: DataArgument,
    out: Annotated[Path, typer.Option(metavar="MODEL", help="Folder for the model.")],
    method: Annotated[str, typer.Option(help="snl-rd, snl-fd, rd, stpm or dskd.")] = "snl-rd",
    recipe: Annotated[
        RecipeName, typer.Option(help="tuned: the best we know; paper: as the method's paper trains.")
    ] = RecipeName.TUNED,
    teacher: Annotated[
        str | None, typer.Option(metavar="NAME", help="Any timm backbone; embedded by default.")
    ] = None,
    teacher_weights: TeacherWeightsOption = None,
    strides: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The teacher's levels, such as 8,16,32.")
    ] = None,
    image_size: ImageSizeOption = 256,
    keep_aspect: Annotated[
        bool, typer.Option("--keep-aspect", help="Pad pictures to squares, rather than stretch them.")
    ] = False,
    tile: Annotated[
        int | None, typer.Option(metavar="N", help="Cut pictures into tiles of N of their own pixels.")
    ] = None,
    overlap: Annotated[int, typer.Option(metavar="N", help="Pixels that neighbouring tiles share.")] = 0,
    roi: Annotated[
        Path | None,
        typer.Option(
            metavar="MASK",
            help="White where pixels count, black where not; or a folder with one mask a category.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Passes over the pictures.")] = None,
    max_steps: Annotated[int | None, typer.Option(metavar="N", help="Or optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Pictures a step.")] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="Learning rate.")] = None,
    schedule: Annotated[
        ScheduleName | None, typer.Option(help="Of the learning rate; cosine warms up and falls to zero.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything random.")] = 0,
    categories: CategoriesOption = None,
    holdout: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Good pictures kept from training, for thresholds."),
    ] = 0.1,
    validation: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of the rest: only looked at, to choose an epoch or scale maps."),
    ] = None,
    false_alarm_rate: Annotated[
        float, typer.Option(metavar="RATE", help="Good pictures that may FAIL, at most.")
    ] = 0.01,
    device: DeviceOption = DeviceName.AUTO,
    precision: Annotated[
        PrecisionName, typer.Option(help="auto takes bf16 where the hardware has it.")
    ] = PrecisionName.AUTO,
    sampling: Annotated[
        SamplingName | None,
        typer.Option(help="balanced: every category equally often; natural: every picture."),
    ] = None,
    statistics: Annotated[
        StatisticsName | None,
        typer.Option(help="Of batch normalisation: recomputed with the final weights, or running ones."),
    ] = None,
    averaging: Annotated[
        float | None,
        typer.Option(metavar="DECAY", help="Keep a mean of the weights, such as 0.98; 0: the last."),
    ] = None,
    cache: Annotated[
        str, typer.Option(metavar="auto|off|SIZE", help="Memory for decoded pictures, such as 512MB or 2GB.")
    ] = "auto",
    workers: Annotated[
        str, typer.Option(metavar="auto|N", help="Processes that decode what does not fit there.")
    ] = "auto",
    cache_features: Annotated[
        str,
        typer.Option(
            metavar="auto|off|DIR",
            help="Compute the teacher's features once: in memory (auto), or in files in DIR.",
        ),
    ] = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Train through torch.compile; needs a compiler.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished training.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard what MODEL holds.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the method; may be repeated."),
    ] = None,
) -> None:
    """Train one model on the good pictures of all categories in DATA, and calibrate it."""
    import understudy
    from understudy.methods import parse_assignments

    optional = {
        "teacher": teacher,
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "sampling": sampling,
        "statistics": statistics,
        "averaging": averaging,
        "strides": split_numbers(strides, "--strides") if strides is not None else None,
        "validation": validation,
        "categories": split_names(categories),
        "workers": _count(workers),
    }
    with reporting() as reporter, _stopping(out):
        model = understudy.fit(
            data,
            out,
            resume=resume,
            overwrite=overwrite,
            reporter=reporter,
            method=method,
            recipe=recipe.value,
            settings=parse_assignments(set_ or []),
            teacher_weights=teacher_weights,
            image_size=image_size,
            keep_aspect=keep_aspect,
            tile=tile,
            overlap=overlap,
            roi=roi,
            seed=seed,
            holdout=holdout,
            false_alarm_rate=false_alarm_rate,
            device=device.value,
            precision=precision.value,
            cache=cache,
            cache_features=cache_features,
            compile=compile_,
            **{name: value for name, value in optional.items() if value is not None},
        )
        reporter.say(f"{out}: trained in {model.manifest.training.seconds:.0f} s")
        if model.thresholds is None:
            reporter.say(f"not calibrated yet: understudy calibrate {out} GOOD_PICTURES")


@contextmanager
def _stopping(out: Path) -> Iterator[None]:
    """Say on Ctrl-C whether there is something to go on from."""
    from understudy.fitting.training import checkpoint_file

    try:
        yield
    except KeyboardInterrupt:
        kept = checkpoint_file(out).is_file()
        hint = "go on with --resume" if kept else "there was no checkpoint yet"
        typer.echo(f"understudy: stopped; {hint}", err=True)
        raise


def _count(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--workers takes auto or a number of processes, got {text!r}") from error
