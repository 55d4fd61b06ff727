"""A folder -> its records, whatever its layout."""

from __future__ import annotations

from pathlib import Path

from understudy.data import loco, mvtec
from understudy.data.records import GOOD, PictureSet, Record
from understudy.errors import InputError
from understudy.runtime.images import find_pictures

__all__ = ["open_pictures"]

# A folder of one of these names means that not every picture below shows a good product.
_NOT_GOOD = frozenset(
    word
    for name in (
        "anomaly",
        "anomalies",
        "bad",
        "defect",
        "defective",
        "defects",
        "mask",
        "masks",
        "ng",
        "test",
    )
    for word in (name, name.capitalize(), name.upper())
)


def open_pictures(root: Path) -> PictureSet:
    """Find the pictures of a folder: MVTec AD or LOCO layout, one category of it, or good pictures alone.

    Raises:
        InputError: the folder is missing, unreadable, or holds no pictures.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root} does not exist; name a folder of pictures")
    if not root.is_dir():
        raise InputError(f"{root} is a file; name the folder that holds the pictures")
    try:
        return _recognise(root)
    except OSError as error:
        raise InputError(f"{root} cannot be listed: {error.strerror or error}") from error


def _recognise(root: Path) -> PictureSet:
    name = root.resolve().name
    if _is_category(root):
        layout, records = _category(root, name)
        return _set(root, f"one category in {layout} layout", records)
    categories = [_category(d, d.name) for d in mvtec.folders_in(root) if _is_category(d)]
    if categories:
        layouts = sorted({layout for layout, _ in categories})
        words = " and ".join(layouts) + (" layouts" if layouts[1:] else " layout")
        return _set(root, words, [r for _, records in categories for r in records])
    pictures = find_pictures(root)
    suspect = sorted({part for p in pictures for part in p.relative_to(root).parts[:-1]} & _NOT_GOOD)
    if suspect:
        raise InputError(
            f"{root} has a folder {suspect[0]!r}, so its pictures are not all good; arrange them as "
            "<category>/train/good and <category>/test/<defect>, or name the folder of good pictures"
        )
    return _set(root, "folder of good pictures", [Record(name, "train", GOOD, path) for path in pictures])


def _is_category(folder: Path) -> bool:
    return loco.is_category(folder) or mvtec.is_category(folder)


def _category(folder: Path, name: str) -> tuple[str, list[Record]]:
    """Layout and records of one category."""
    if loco.is_category(folder):
        return "MVTec LOCO", loco.category_records(folder, name)
    return "MVTec AD", mvtec.category_records(folder, name)


def _set(root: Path, layout: str, records: list[Record]) -> PictureSet:
    if not records:
        raise InputError(
            f"{root} holds no pictures; expected <category>/train/good/*.png, or good pictures alone"
        )
    return PictureSet(root, layout, tuple(sorted(records)))
