"""Records of a category in MVTec LOCO layout.

``<category>/{train,validation}/good``, ``<category>/test/<good or kind of defect>``, and a folder of masks
for every picture, ``<category>/ground_truth/<kind>/<picture's stem>``, with one mask for each of its
defects. ``<category>/defects_config.json`` says what the masks' values mean. Bergmann et al., "Beyond
Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization", IJCV 2022.
"""

from __future__ import annotations

from pathlib import Path

from understudy.data.mvtec import MasksByStem, folders_in, good_records, pictures_in, test_records
from understudy.data.records import GOOD, Record

__all__ = ["DEFECTS_CONFIG", "category_records", "is_category"]

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


def _masks_by_stem(folder: Path) -> MasksByStem:
    """The folder ``003`` holds the masks of 003."""
    return {masks.name.lower(): tuple(pictures_in(masks)) for masks in folders_in(folder)}
