"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from understudy.errors import InputError
from understudy.types import DeviceChoice, PrecisionChoice

__all__ = [
    "DATA_KINDS",
    "CategoriesOption",
    "DataArgument",
    "DeviceOption",
    "ImageSizeOption",
    "ModelArgument",
    "PrecisionOption",
    "TeacherWeightsOption",
    "parse_folder",
    "split_names",
    "split_numbers",
]

DATA_KINDS = (
    "folder in MVTec AD, MVTec LOCO or VisA layout, one category of it, good pictures alone, "
    "or a list of pictures (.csv, .parquet)"
)
DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help=f"A {DATA_KINDS}.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the model.")]
CategoriesOption = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Only these categories, separated by commas.")
]
DeviceOption = Annotated[
    DeviceChoice, typer.Option(help="Device that computes; auto takes a GPU if there is one.")
]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(help="Precision of the training; auto takes bf16 if the hardware computes in it."),
]
ImageSizeOption = Annotated[
    int, typer.Option(metavar="N", help="Side of the network's square input, in pixels.")
]
TeacherWeightsOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Weights of the teacher: a .safetensors or .pth file, or the word random."
    ),
]


def parse_folder(text: str | Path) -> Path:
    """Return the folder for results, typed or a default, which must have a name.

    Raises:
        InputError: it has none, as an unset shell variable.
    """
    if not str(text).strip():
        raise InputError("the folder for the results has no name; is a shell variable unset?")
    return Path(text)


def split_names(text: str | None, option: str = "--categories") -> tuple[str, ...] | None:
    """Split names at commas: ``"a, b"`` -> ``("a", "b")``; ``None`` stays ``None``.

    Args:
        text: value of the option.
        option: name of the option, for errors.

    Raises:
        InputError: the text holds no name.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"{option} names none; give names separated by commas, or leave it out")
    return names


def split_numbers(text: str, option: str) -> tuple[int, ...]:
    """Split whole numbers at commas: ``"8,16"`` -> ``(8, 16)``.

    Args:
        text: value of the option.
        option: name of the option, for errors.

    Raises:
        InputError: a part is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} takes numbers separated by commas, got {text!r}") from error
