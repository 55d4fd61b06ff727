"""Records of a category in MVTec AD layout.

``<category>/train/good``, ``<category>/test/<good or defect>``, and masks in
``<category>/ground_truth/<defect>`` as ``<name>_mask.png`` or under the picture's own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from understudy.data.records import GOOD, Record
from understudy.runtime.images import find_pictures

__all__ = [
    "MasksByStem",
    "category_records",
    "folders_in",
    "good_records",
    "is_category",
    "pictures_in",
    "test_records",
]

MasksByStem = Mapping[str, tuple[Path, ...]]
"""Masks of the pictures of one kind, under their lower-case stems."""


def is_category(folder: Path) -> bool:
    """Whether a folder looks like one category: it has a split, or masks."""
    return any((folder / part).is_dir() for part in ("train", "test", "ground_truth"))


def category_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a mask file has none."""
    return good_records(folder, category, "train") + test_records(folder, category, _masks_by_stem)


def good_records(folder: Path, category: str, split: Literal["train", "validation"]) -> list[Record]:
    """Good pictures of a split of one category."""
    return [Record(category, split, GOOD, path) for path in pictures_in(folder / split / GOOD)]


def test_records(folder: Path, category: str, masks_of: Callable[[Path], MasksByStem]) -> list[Record]:
    """Test pictures of one category, good and defective.

    Args:
        folder: of the category.
        category: its name.
        masks_of: gives the masks in the folder of one kind, which need not exist.
    """
    records = []
    for kind in folders_in(folder / "test"):
        masks = {} if kind.name == GOOD else masks_of(folder / "ground_truth" / kind.name)
        for path in pictures_in(kind):
            records.append(Record(category, "test", kind.name, path, masks.get(path.stem.lower(), ())))
    return records


def folders_in(folder: Path) -> list[Path]:
    """Folders right below a folder, sorted, but for links that lead back up; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(d for d in folder.iterdir() if d.is_dir() and not _leads_back(d))


def pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder, sorted; none if it does not exist."""
    return find_pictures(folder) if folder.is_dir() else []


def _masks_by_stem(folder: Path) -> MasksByStem:
    """``003_mask.png`` and ``003.PNG`` belong to 003."""
    return {path.stem.lower().removesuffix("_mask"): (path,) for path in pictures_in(folder)}


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in: all of that would be found again below it."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())
