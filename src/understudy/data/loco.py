"""Records of a category in MVTec LOCO layout, and what its masks' values mean.

``<category>/{train,validation}/good``, ``<category>/test/<good or kind of defect>``, and a folder of masks
for every picture, ``<category>/ground_truth/<kind>/<picture's stem>``, with one mask for each of its
defects. ``<category>/defects_config.json`` says what the masks' values mean. Bergmann et al., "Beyond
Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization", IJCV 2022.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from understudy.data.mvtec import MasksByStem, folders_in, good_records, pictures_in, test_records
from understudy.data.records import GOOD, Record, Saturation, Saturations
from understudy.errors import InputError

__all__ = ["DEFECTS_CONFIG", "category_records", "is_category", "read_saturations"]

DEFECTS_CONFIG = "defects_config.json"


def is_category(folder: Path) -> bool:
    """Whether a folder is one category in this layout.

    It is if it explains its masks, has a validation split, or has a folder of masks for a test picture.
    """
    if (folder / DEFECTS_CONFIG).is_file() or (folder / "validation" / GOOD).is_dir():
        return True
    for kind in folders_in(folder / "ground_truth"):
        tested = {path.stem.lower() for path in pictures_in(folder / "test" / kind.name)}
        if any(stem in tested and masks for stem, masks in _masks_by_stem(kind).items()):
            return True
    return False


def category_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a folder of masks has none."""
    return [
        *good_records(folder, category, "train"),
        *good_records(folder, category, "validation"),
        *test_records(folder, category, _masks_by_stem),
    ]


def read_saturations(folder: Path) -> Saturations:
    """What the values of a category's masks mean; nothing where it has no ``defects_config.json``.

    Raises:
        InputError: the file is no list of defects, or two of them have one value.
    """
    path = folder / DEFECTS_CONFIG
    if not path.is_file():
        return {}
    try:
        defects = TypeAdapter(list[Saturation]).validate_python(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is no list of defects: {where}: {first['msg']}; mend or remove it"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; mend or remove it") from error
    meaning = {defect.pixel_value: defect for defect in defects}
    if len(meaning) < len(defects):
        raise InputError(f"{path} gives one pixel_value to two defects; each needs its own")
    return meaning


def _masks_by_stem(folder: Path) -> MasksByStem:
    """The folder ``003`` holds the masks of 003."""
    return {masks.name.lower(): tuple(pictures_in(masks)) for masks in folders_in(folder)}
