"""Records of a category in MVTec AD layout.

``<category>/train/good``, ``<category>/test/<good or defect>``, and masks in
``<category>/ground_truth/<defect>`` as ``<name>_mask.png`` or under the picture's own name.
"""

from __future__ import annotations

from pathlib import Path

from understudy.data.records import GOOD, Record
from understudy.runtime.images import find_pictures

__all__ = ["category_records", "is_category"]


def is_category(folder: Path) -> bool:
    """Whether a folder looks like one category: it has a split, or masks."""
    return any((folder / part).is_dir() for part in ("train", "test", "ground_truth"))


def category_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a mask file has none."""
    train = folder / "train" / GOOD
    records = [Record(category, "train", GOOD, path) for path in _pictures(train)]
    tests = folder / "test"
    for kind in sorted(d for d in tests.iterdir() if d.is_dir()) if tests.is_dir() else []:
        masks = {} if kind.name == GOOD else _masks_by_stem(folder / "ground_truth" / kind.name)
        for path in _pictures(kind):
            records.append(Record(category, "test", kind.name, path, masks.get(path.stem.lower())))
    return records


def _pictures(folder: Path) -> list[Path]:
    return find_pictures(folder) if folder.is_dir() else []


def _masks_by_stem(folder: Path) -> dict[str, Path]:
    """Mask files under their picture's lower-case stem: ``003_mask.png`` and ``003.PNG`` belong to 003."""
    return {path.stem.lower().removesuffix("_mask"): path for path in _pictures(folder)}
