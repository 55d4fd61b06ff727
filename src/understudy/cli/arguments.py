"""Arguments and options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.errors import InputError
from understudy.files import named_path
from understudy.types import DeviceChoice, LayoutChoice, PrecisionChoice, ProviderChoice

if TYPE_CHECKING:
    from understudy.data.records import PictureSet

__all__ = [
    "DATA_KINDS",
    "BadOption",
    "CategoriesOption",
    "DataArgument",
    "DeviceOption",
    "GoodOption",
    "ImageSizeOption",
    "LayoutOption",
    "ModelArgument",
    "PrecisionOption",
    "ProviderOption",
    "SignatureOption",
    "TeacherWeightsOption",
    "open_data",
    "parse_folder",
    "parse_named",
    "parse_rate",
    "split_names",
    "split_numbers",
]

DATA_KINDS = (
    "folder in MVTec AD, MVTec LOCO or VisA layout, one category of it, one product a folder, "
    "folders good and bad, good pictures alone, or a list of pictures (.csv, .parquet)"
)


def parse_named(text: str | Path) -> Path:
    """Return a picture, another file or a folder to read, which must have a name.

    Raises:
        InputError: it has none, as an unset shell variable, or one that is too long.
    """
    return named_path(text, "a picture, file or folder")


DataArgument = Annotated[Path, typer.Argument(metavar="DATA", parser=parse_named, help=f"A {DATA_KINDS}.")]
LayoutOption = Annotated[
    LayoutChoice,
    typer.Option(
        help="Layout of DATA: found by itself (auto), that of a data set, one product a folder (products), "
        "good pictures of one product (good), or a list."
    ),
]
GoodOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C", help="Folders, or labels of a list, that count as good besides the usual words."
    ),
]
BadOption = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C", help="Folders, or labels of a list, that count as bad besides the usual words."
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", parser=parse_named, help="Folder of the model.")
]
SignatureOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        parser=parse_named,
        help="Public key (PEM); a MODEL that its owner did not sign is refused.",
    ),
]
CategoriesOption = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Only these categories, separated by commas.")
]
DeviceOption = Annotated[
    DeviceChoice, typer.Option(help="Device that computes; auto takes a GPU if there is one.")
]
PrecisionOption = Annotated[
    PrecisionChoice,
    typer.Option(
        help="Precision of the training; auto takes bf16 where a measurement says that it is faster."
    ),
]
ProviderOption = Annotated[
    ProviderChoice,
    typer.Option(
        help="Execution provider of ONNX Runtime for an exported MODEL; understudy doctor lists those that "
        "are there."
    ),
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


def open_data(data: Path, layout: LayoutChoice, good: str | None, bad: str | None) -> PictureSet:
    """Find the pictures of DATA; see :func:`understudy.open_pictures`.

    Args:
        data: folder or list.
        layout: value of ``--layout``.
        good: value of ``--good``, separated by commas.
        bad: value of ``--bad``, separated by commas.

    Raises:
        InputError: the pictures cannot be found.
    """
    from understudy.data.layouts import open_pictures

    return open_pictures(data, layout, split_names(good, "--good") or (), split_names(bad, "--bad") or ())


def parse_folder(text: str | Path) -> Path:
    """Return the folder for results, typed or a default, which must have a name.

    Raises:
        InputError: it has none, as an unset shell variable, or one that is too long.
    """
    return named_path(text, "the folder for the results")


def parse_rate(text: str | float) -> float:
    """Return a share of pictures: ``"0.01"`` and ``"1%"`` -> 0.01.

    Raises:
        InputError: it is no number.
    """
    number = str(text).strip()
    try:
        return float(number[:-1]) / 100 if number.endswith("%") else float(number)
    except ValueError as error:
        raise InputError(f"a rate is a number such as 0.01 or 1%, got {str(text)!r}") from error


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
