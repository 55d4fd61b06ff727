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

Masks may stand beside good and bad folders. Beside products in MVTec or VisA layout, a folder that the table
reads is one more product; what else lies there is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from understudy.data.published import (
    SPLIT_LIST,
    Reading,
    has_splits,
    is_visa_object,
    is_visa_root,
    labelled_reading,
    split_name,
    split_reading,
    visa_object_reading,
    visa_reading,
)
from understudy.data.records import GOOD, Record
from understudy.data.words import Words, plain_word
from understudy.errors import InputError
from understudy.runtime.walk import PictureFolder
from understudy.types import LayoutChoice

__all__ = ["read_layout"]

_PUBLISHED = ("MVTec AD", "MVTec LOCO", "VisA")
_FLAGS = frozenset({"0", "1", "true", "false", "yes", "no"})
_SHOWN = 4  # names in a message, at most


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


@dataclass
class _Content:
    """What decides how a folder is read; folders without pictures are in no list."""

    loose: bool
    good: list[PictureFolder] = field(default_factory=list)
    bad: list[PictureFolder] = field(default_factory=list)
    masks: list[PictureFolder] = field(default_factory=list)
    unknown: list[PictureFolder] = field(default_factory=list)

    @property
    def named(self) -> list[PictureFolder]:
        """Folders whose names say what they are for."""
        return self.good + self.bad + self.masks


def _content(folder: PictureFolder, words: Words) -> _Content:
    content = _Content(bool(folder.pictures))
    lists = {"good": content.good, "bad": content.bad, "masks": content.masks, None: content.unknown}
    for inner in folder.folders:
        if inner.has_pictures():
            meaning = words.meaning(inner.name)
            is_masks = meaning is None and split_name(inner.name) == "masks"
            lists["masks" if is_masks else meaning].append(inner)
    return content


def _by_words(root: PictureFolder, name: str, words: Words) -> Reading:
    """Read a folder without any published layout by the table above."""
    content = _content(root, words)
    if only := _product(root, name, words):
        is_good = only.layout == "good pictures"
        return _named_reading(
            "folder of good pictures" if is_good else "one category of good and bad pictures", [only]
        )
    if content.loose or content.named:
        raise _two_readings(root, content)
    if all(plain_word(f.name) in _FLAGS for f in content.unknown):
        raise InputError(
            f"{root.path} can be read in two ways: {_names(content.unknown)} are products, as --layout "
            "products says, or they mean good and bad; say which with --good and --bad"
        )
    readings = []
    for folder in content.unknown:
        reading = _product(folder, folder.name, words)
        if reading is None:
            raise _two_readings_of_product(folder, _content(folder, words))
        readings.append(reading)
    return _named_reading(_layouts(readings), readings)


def _product(folder: PictureFolder, category: str, words: Words) -> Reading | None:
    """Read one product by the table; ``None`` if it is none, or may be something else."""
    content = _content(folder, words)
    if not content.named and not content.unknown:
        return _good_reading(folder, category)
    if content.loose or not (content.good or (content.bad and not content.unknown)):
        return None
    _refuse_products_within(folder, content, words)
    return labelled_reading(folder, category, words)


def _good_reading(folder: PictureFolder, category: str) -> Reading:
    records = [Record(category, "train", GOOD, path) for path in folder.all_pictures()]
    return Reading("good pictures", records)


def _refuse_products_within(folder: PictureFolder, content: _Content, words: Words) -> None:
    """Refuse good and bad folders that hold products, which would all be learned as one."""
    defects = content.bad + content.unknown
    for kind in content.good + defects:
        other = "bad" if kind in content.good else "good"
        if any(has_splits(f) or words.meaning(f.name) == other for f in kind.folders):
            raise InputError(
                f"{folder.path} can be read in two ways: {kind.name} is a product with good and bad "
                "pictures, as --layout products says, or all of it is "
                f"{'good' if kind in content.good else 'a kind of defect'}; then rename the folders in it"
            )
    both = {f.name for kind in content.good for f in kind.folders if f.has_pictures()} & {
        f.name for kind in defects for f in kind.folders if f.has_pictures()
    }
    if both and not (words.good or words.bad):
        good, bad = content.good[0].name, defects[0].name
        raise InputError(
            f"{folder.path} can be read in two ways: {_join(sorted(both))} in {good} and in {bad} are "
            f"products, then arrange them as <product>/{good} and <product>/{bad}; or all are one product, "
            f"as --good {good} --bad {bad} says"
        )


def _two_readings(root: PictureFolder, content: _Content) -> InputError:
    """Return the error for a folder that the table does not read."""
    start = f"{root.path} can be read in two ways: "
    unknown = _names(content.unknown)
    if content.loose and not content.named:
        return InputError(
            f"{start}all pictures are good ones of one product, as --layout good says, or the folders "
            f"({unknown}) are products, as --layout products says, and the loose pictures are left out"
        )
    if content.loose:
        return InputError(
            f"{start}its loose pictures are good, or not yet sorted, beside {_names(content.named)}; move "
            "them into a folder good, or say --layout good if all pictures below are good"
        )
    if content.bad:
        good = ",".join(f.name for f in content.unknown)
        return InputError(
            f"{start}{unknown} are products, as --layout products says, and {_names(content.bad)} is left "
            f"out, or they are good pictures of one product, as --good {good} says"
        )
    return InputError(
        f"{start}{_names(content.masks)} holds masks or is a product, as --layout products says; "
        "masks belong beside folders good and bad, or into ground_truth beside train and test"
    )


def _two_readings_of_product(folder: PictureFolder, content: _Content) -> InputError:
    """Return the error for a folder among products that the table does not read."""
    start, unknown = f"{folder.path} can be read in two ways: ", ",".join(f.name for f in content.unknown)
    if content.loose and content.named:
        return InputError(
            f"{start}its loose pictures are good, or not yet sorted, beside {_names(content.named)}; move "
            "them into a folder good"
        )
    if content.named:
        return InputError(
            f"{start}beside {_names(content.named)}, its other folders are good, as --good "
            f"{unknown or 'NAME'} says, or kinds of defect, as --bad {unknown or 'NAME'} says"
        )
    return InputError(
        f"{start}it is one product, as --layout products says, or its folders ({_names(content.unknown)}) "
        f"are products; then name {folder.path} itself"
    )


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
    return bool(words.meaning(folder.name) or split_name(folder.name))


def _products(root: PictureFolder, words: Words) -> Reading:
    """Read every subfolder as a product, but for those of a bad word."""
    readings, reasons = [], {root.path: "loose beside product folders"}
    for folder in root.folders:
        content = _content(folder, words)
        if words.meaning(folder.name) == "bad":
            reasons[folder.path] = "bad by its name, so no product"
        elif has_splits(folder):
            readings.append(split_reading(folder, folder.name, words))
        elif reading := _product(folder, folder.name, words):
            readings.append(reading)
        elif content.bad or content.masks:
            raise InputError(
                f"{folder.path} has {_names(content.bad + content.masks)} beside other pictures; arrange it "
                "as good and bad, or name its good folders with --good"
            )
        else:
            readings.append(_good_reading(folder, folder.name))
    whole = _named_reading("one product a folder", readings)
    whole.reasons = reasons | whole.reasons
    return whole


def _named_reading(layout: str, readings: Iterable[Reading]) -> Reading:
    """Put the readings of all products together."""
    whole = Reading(layout)
    for reading in readings:
        whole.records += reading.records
        whole.reasons |= reading.reasons
        whole.saturations |= reading.saturations
    return whole


def _layouts(readings: Sequence[Reading]) -> str:
    """Return the layouts of several products, in words."""
    known = sorted({r.layout for r in readings if r.layout in _PUBLISHED})
    texts = [" and ".join(known) + (" layouts" if known[1:] else " layout")] if known else []
    if any(r.layout not in _PUBLISHED for r in readings):
        texts.append("one product a folder")
    return " and ".join(texts)


def _names(folders: Sequence[PictureFolder]) -> str:
    return _join([f.name for f in folders])


def _join(names: Sequence[str]) -> str:
    shown = [*names[:_SHOWN], *(["..."] if names[_SHOWN:] else [])]
    return ", ".join(shown)
