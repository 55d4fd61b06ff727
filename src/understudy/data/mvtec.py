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
    """Whether a folder looks like one category: it has ``train`` or ``test`` with a kind inside."""
    return (folder / "train").is_dir() or (folder / "test" / GOOD).is_dir()


def category_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a mask file has none."""
    train = folder / "train" / GOOD
    records = [Record(category, "train", GOOD, path) for path in _pictures(train)]
    tests = folder / "test"
    for kind in sorted(d for d in tests.iterdir() if d.is_dir()) if tests.is_dir() else []:
        masks = folder / "ground_truth" / kind.name
        for path in _pictures(kind):
            mask = None if kind.name == GOOD else _mask_of(path, masks)
            records.append(Record(category, "test", kind.name, path, mask))
    return records


def _pictures(folder: Path) -> list[Path]:
    return find_pictures(folder) if folder.is_dir() else []


def _mask_of(picture: Path, masks: Path) -> Path | None:
    candidates = (
        masks / f"{picture.stem}_mask.png",
        masks / f"{picture.stem}.png",
        masks / picture.name,
    )
    return next((m for m in candidates if m.is_file()), None)
