"""A folder in any known layout, or a list of pictures -> its records."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

from understudy.data import lists, published
from understudy.data.records import GOOD, PictureSet, Record, Saturations
from understudy.errors import InputError
from understudy.runtime.images import find_pictures

__all__ = ["describe", "open_pictures"]


# If a subfolder has one of these names, not every picture shows a good product.
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
    """Find the pictures of a folder or of a list.

    Args:
        root: folder in MVTec AD, MVTec LOCO or VisA layout, one category of such a folder, a folder of good
            pictures, or a list of pictures (.csv, .parquet).

    Raises:
        InputError: the path is missing or cannot be read, breaks the rules of its layout, or holds no
            pictures.
    """
    root = Path(root)
    if not root.exists():
        raise InputError(f"{root} does not exist; name a folder of pictures, or a list (.csv, .parquet)")
    try:
        if root.is_dir():
            return _recognise(root)
        if lists.is_list(root):
            return _set(root, "list of pictures", lists.list_records(root))
    except OSError as error:
        raise InputError(f"{root} cannot be listed: {error.strerror or error}") from error
    raise InputError(
        f"{root} is a file; name the folder that holds the pictures, or a list of them (.csv, .parquet)"
    )


def describe(picture_set: PictureSet) -> str:
    """Return one line on what was recognised: root, layout, number of categories and of pictures."""
    categories, pictures = len(picture_set.categories), len(picture_set.records)
    return (
        f"{picture_set.root}: {picture_set.layout}, "
        f"{categories} {'category' if categories == 1 else 'categories'}, "
        f"{pictures} {'picture' if pictures == 1 else 'pictures'}"
    )


def _recognise(root: Path) -> PictureSet:
    name = root.resolve().name
    if _is_category(root):
        layout, records = _category(root, name)
        return _set(
            root, f"one category in {layout} layout", records, {name: published.read_saturations(root)}
        )
    if published.is_visa_object(root):
        return _set(root, "one category in VisA layout", published.visa_object_records(root))
    folders = [d for d in published.folders_in(root) if _is_category(d)]
    categories = [_category(d, d.name) for d in folders]
    if published.is_visa_root(root):
        categories.append(("VisA", published.visa_records(root)))
    if categories:
        layouts = sorted({layout for layout, _ in categories})
        words = " and ".join(layouts) + (" layouts" if layouts[1:] else " layout")
        saturations = {d.name: published.read_saturations(d) for d in folders}
        return _set(root, words, [r for _, records in categories for r in records], saturations)
    pictures = find_pictures(root)
    suspect = sorted({part for p in pictures for part in p.relative_to(root).parts[:-1]} & _NOT_GOOD)
    if suspect:
        raise InputError(
            f"{root} has a folder {suspect[0]!r}, so its pictures are not all good; arrange them as "
            "<category>/train/good and <category>/test/<defect>, or name the folder of good pictures"
        )
    return _set(root, "folder of good pictures", [Record(name, "train", GOOD, path) for path in pictures])


def _is_category(folder: Path) -> bool:
    return published.is_loco_category(folder) or published.is_mvtec_category(folder)


def _category(folder: Path, name: str) -> tuple[str, list[Record]]:
    """Return the layout and the records of one category."""
    if published.is_loco_category(folder):
        return "MVTec LOCO", published.loco_records(folder, name)
    return "MVTec AD", published.mvtec_records(folder, name)


def _set(
    root: Path, layout: str, records: list[Record], saturations: Mapping[str, Saturations] | None = None
) -> PictureSet:
    if not records:
        raise InputError(
            f"{root} holds no pictures; expected <category>/train/good/*.png, or good pictures alone"
        )
    _refuse_twins(root, {r.category for r in records})
    explained = {category: meaning for category, meaning in (saturations or {}).items() if meaning}
    return PictureSet(root, layout, tuple(sorted(records)), explained)


def _refuse_twins(root: Path, categories: Iterable[str]) -> None:
    """Refuse two categories with names that people read as one: they would be two products to a model."""
    known: dict[str, str] = {}
    for name in sorted(categories):
        twin = known.setdefault(_composed(_composed(name).casefold()), name)
        if twin != name:
            shown = ascii if _composed(twin) == _composed(name) else repr  # else both would look alike
            raise InputError(
                f"{root} has two categories of one name, {shown(twin)} and {shown(name)}; rename one of them"
            )


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
