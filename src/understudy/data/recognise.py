"""A folder that was read -> what its subfolders mean: which are products, splits, good, or defects.

A folder with ``train``, ``test``, ``validation`` or ``ground_truth`` is a product in MVTec layout. Without
one, it counts whether pictures lie loose in the folder, and whether it has folders of a good word, of a bad
word, or of an unknown name. Folders without pictures do not count.

====== ======= ======= ======= ===================================================================
loose  good    bad     unknown is read as
====== ======= ======= ======= ===================================================================
yes    --      --      --      one product, all pictures good
--     yes     maybe   maybe   one product: good ones to learn from; every other folder is a kind of
                               defect to test
--     --      yes     --      one product: kinds of defect to test
--     --      --      yes     one product a folder, each read by this table; it may not have folders
                               of unknown names again
other                          refused: there are two readings, and an option settles it
====== ======= ======= ======= ===================================================================

Below a product there may be folders that say when or where, such as ``2026-01-05`` or ``cam 2``, with good
and bad folders in them; they are one product. A folder of days alone is one product too. A name made of a
word for bad and something else, such as ``ng_images``, is refused where it would be a product.

Masks may stand beside good and bad folders. Beside products in MVTec or VisA layout, a folder that the table
reads is one more product; what else lies there is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from understudy.data.doubts import (
    Level,
    folder_content,
    is_or_are,
    names_of,
    refuse_hints,
    refuse_hints_beside_good,
    refuse_products_within,
    refuse_unsorted,
    speaking_folders,
    two_readings,
    two_readings_of_product,
)
from understudy.data.kinds import split_name
from understudy.data.published import (
    SPLIT_LIST,
    Reading,
    has_splits,
    is_visa_object,
    is_visa_root,
    labelled_reading,
    split_reading,
    visa_object_reading,
    visa_reading,
)
from understudy.data.records import GOOD, Record
from understudy.data.words import Words, is_date, is_place
from understudy.errors import InputError
from understudy.runtime.walk import PictureFolder
from understudy.types import LayoutChoice

__all__ = ["read_layout"]

_PUBLISHED = ("MVTec AD", "MVTec LOCO", "VisA")
_MAY_STAND_BETWEEN: dict[Level, Callable[[str], bool]] = {
    "root": is_date,
    "product": is_place,
    "any": lambda name: True,
}
"""Level of a folder -> which names may stand between it and its good and bad folders."""


def read_layout(root: PictureFolder, words: Words, layout: LayoutChoice = "auto") -> Reading:
    """Read all that a folder holds.

    Args:
        root: the folder.
        words: what counts as good and as bad.
        layout: layout to read it in; not ``list``.

    Raises:
        InputError: the folder has two readings, is not in the layout, or breaks its rules.
    """
    name = root.path.resolve().name or "pictures"
    if layout == "good":
        return _named_reading("folder of good pictures", [_good_reading(root, name)])
    if layout == "products":
        return _products(root, words)
    if layout in ("auto", "visa") and is_visa_object(root):
        return _named_reading("one category in VisA layout", [visa_object_reading(root)])
    if layout == "visa":
        return _named_reading("VisA layout", [visa_reading(root)])
    if layout == "list":
        raise InputError(f"{root.path} is a folder and no list; leave --layout out")
    if has_splits(root):
        only = split_reading(root, name, words, layout)
        return _named_reading(f"one category in {only.layout} layout", [only])
    if any(map(has_splits, root.folders)) or is_visa_root(root):
        return _beside_published(root, words, layout)
    if layout != "auto":
        raise InputError(
            f"{root.path} is not in {layout} layout: neither it nor a folder in it has train or test below; "
            "leave --layout out"
        )
    return _by_words(root, name, words)


def _by_words(root: PictureFolder, name: str, words: Words) -> Reading:
    """Read a folder without any published layout by the table above."""
    content = folder_content(root, words)
    if only := _product(root, name, words, "root"):
        is_good = only.layout == "good pictures"
        return _named_reading(
            "folder of good pictures" if is_good else "one category of good and bad pictures", [only]
        )
    if content.loose or content.named:
        raise two_readings(root, content)
    if days := [f for f in content.unknown if is_date(f.name)]:
        are, they = (
            is_or_are(days, "is a day", "are days"),
            is_or_are(days, "it is a product", "they are products"),
        )
        raise InputError(
            f"{root.path} can be read in two ways: {names_of(days)} {are} of one product; then put good and "
            "bad folders into each, and nothing else, or say --layout good if all pictures are good; or "
            f"{they}, as --layout products says"
        )
    readings = []
    for folder in content.unknown:
        reading = _product(folder, folder.name, words)
        if reading is None:
            if _product(folder, folder.name, words, "any") is None:
                refuse_unsorted(folder, words)
            raise two_readings_of_product(folder, folder_content(folder, words))
        readings.append(reading)
    return _named_reading(_layouts(readings), readings)


def _product(folder: PictureFolder, category: str, words: Words, level: Level = "product") -> Reading | None:
    """Read one product by the table; ``None`` if it is none, or may be something else."""
    content = folder_content(folder, words)
    if not content.named and not content.unknown:
        return _good_reading(folder, category)
    if content.loose:
        return None
    if content.named:
        if not (content.good or (content.bad and not content.unknown)):
            return None
        refuse_hints_beside_good(folder, content, words)
        refuse_products_within(folder, content, words, level)
        return labelled_reading(folder, category, words)
    refuse_hints(folder, content, words, level)
    if not speaking_folders(folder, words):
        return _good_reading(folder, category) if all(is_date(f.name) for f in content.unknown) else None
    if not all(_MAY_STAND_BETWEEN[level](f.name) for f in content.unknown):
        return None
    below: Level = "any" if level == "any" else "product"
    whole = Reading("good and bad")
    for inner in content.unknown:
        reading = _product(inner, category, words, below)
        if reading is None or reading.layout == "good pictures":  # not sorted yet, beside others that are
            return None
        _add(whole, reading)
    return whole


def _good_reading(folder: PictureFolder, category: str) -> Reading:
    records = [Record(category, "train", GOOD, path) for path in folder.all_pictures()]
    return Reading("good pictures", records)


def _beside_published(root: PictureFolder, words: Words, layout: Literal["auto", "mvtec", "loco"]) -> Reading:
    """Read a folder of products in MVTec or VisA layout, and the plain ones beside them."""
    readings = []
    reasons = {root.path: "loose beside product folders"}
    for folder in root.folders:
        if has_splits(folder):
            readings.append(split_reading(folder, folder.name, words, layout))
        elif is_visa_object(folder) or folder.name == SPLIT_LIST.parent.name:
            continue
        elif layout == "auto" and folder.has_pictures() and _has_meaning(folder, words):
            raise InputError(
                f"{root.path} can be read in two ways: {folder.name} is one more product, as --layout "
                "products says, or belongs to a product beside it; move it there, or leave it out with "
                "--layout mvtec"
            )
        elif layout == "auto" and (reading := _product(folder, folder.name, words)):
            readings.append(reading)
        else:
            reasons[folder.path] = "in no layout"
    if layout == "auto" and is_visa_root(root):
        readings.append(visa_reading(root))
        reasons |= readings[-1].reasons
    whole = _named_reading(_layouts(readings), readings)
    whole.reasons = reasons | whole.reasons
    return whole


def _has_meaning(folder: PictureFolder, words: Words) -> bool:
    return bool(words.meaning(folder.name) or split_name(folder.name) or "bad" in words.hints(folder.name))


def _products(root: PictureFolder, words: Words) -> Reading:
    """Read every subfolder as a product, but for those of a bad word."""
    readings, reasons = [], {root.path: "loose beside product folders"}
    for folder in root.folders:
        content = folder_content(folder, words)
        if words.meaning(folder.name) == "bad":
            reasons[folder.path] = "bad by its name, so no product"
        elif has_splits(folder):
            readings.append(split_reading(folder, folder.name, words))
        elif reading := _product(folder, folder.name, words, "any"):
            readings.append(reading)
        elif content.bad or content.masks:
            raise InputError(
                f"{folder.path} has {names_of(content.bad + content.masks)} beside other pictures; arrange "
                "it as good and bad, or name its good folders with --good"
            )
        else:
            refuse_unsorted(folder, words)
            readings.append(_good_reading(folder, folder.name))
    whole = _named_reading("one product a folder", readings)
    whole.reasons = reasons | whole.reasons
    return whole


def _named_reading(layout: str, readings: Iterable[Reading]) -> Reading:
    """Put the readings of all products together."""
    whole = Reading(layout)
    for reading in readings:
        _add(whole, reading)
    return whole


def _add(whole: Reading, reading: Reading) -> None:
    whole.records += reading.records
    whole.reasons |= reading.reasons
    whole.saturations |= reading.saturations


def _layouts(readings: Sequence[Reading]) -> str:
    """Return the layouts of several products, in words."""
    known = sorted({r.layout for r in readings if r.layout in _PUBLISHED})
    texts = [" and ".join(known) + (" layouts" if known[1:] else " layout")] if known else []
    if any(r.layout not in _PUBLISHED for r in readings):
        texts.append("one product a folder")
    return " and ".join(texts)
