"""Arguments and options that several verbs share, so that they read alike."""

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
    "split_names",
    "split_numbers",
]

DATA_KINDS = (
    "folder in MVTec AD, MVTec LOCO or VisA layout, one category of it, good pictures alone, "
    "or a list of pictures (.csv, .parquet)"
)
DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help=f"A {DATA_KINDS}.")]
ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")]
CategoriesOption = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Only these categories, separated by commas.")
]
DeviceOption = Annotated[DeviceChoice, typer.Option(help="auto takes a GPU where there is one.")]
PrecisionOption = Annotated[
    PrecisionChoice, typer.Option(help="Precision of training; auto takes bf16 where the hardware has it.")
]
ImageSizeOption = Annotated[int, typer.Option(metavar="N", help="Side of the input in pixels.")]
TeacherWeightsOption = Annotated[
    str | None, typer.Option(metavar="FILE", help="Its weights: .safetensors, .pth, or the word random.")
]


def split_names(text: str | None, option: str = "--categories") -> tuple[str, ...] | None:
    """``"a, b"`` -> ``("a", "b")``; ``None`` stays.

    Raises:
        InputError: there is no name in it.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"{option} names none; give names separated by commas, or leave it out")
    return names


def split_numbers(text: str, option: str) -> tuple[int, ...]:
    """``"8,16"`` -> ``(8, 16)``.

    Raises:
        InputError: a part is no number.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"{option} takes numbers separated by commas, got {text!r}") from error
