"""Folders of a product that hold kinds of defect and masks -> records of test pictures, each with its masks.

Masks are in ``ground_truth/<kind>`` or ``masks/<kind>``, in ``<kind>_masks``, in folders of masks among the
pictures, or beside the picture as ``<name>_mask``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from understudy.data.records import GOOD, Record
from understudy.data.words import Words, is_place, plain_word
from understudy.errors import InputError
from understudy.runtime.walk import PictureFolder

__all__ = [
    "NO_PICTURE",
    "SplitName",
    "kind_reading",
    "mask_folders",
    "masked_name",
    "place_text",
    "split_folders",
    "split_name",
]

SplitName = Literal["train", "validation", "test", "masks"]
_SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
    "groundtruth": "masks",
    "gt": "masks",
    "mask": "masks",
    "masks": "masks",
}
_MASKS = re.compile(r"(.+?)(?:[-_. ]+|(?<=[a-z])(?=M))(?i:masks?)[-_. ]*")
NO_PICTURE = "mask without a picture"


def split_name(name: str) -> SplitName | None:
    """Return what a folder is for by its name, in any case; ``None`` if the name says nothing."""
    return _SPLIT_NAMES.get(plain_word(name)) or ("masks" if _MASKS.fullmatch(name) else None)


def masked_name(name: str) -> str | None:
    """Return whose masks a folder holds by its name, as ``scratch`` of ``scratch_masks``.

    Returns:
        The name; empty for ``masks`` and ``ground_truth``; ``None`` if the name is not one of masks.
    """
    if split_name(name) != "masks":
        return None
    found = _MASKS.fullmatch(name)
    return found[1] if found and plain_word(name) not in _SPLIT_NAMES else ""


def split_folders(folder: PictureFolder, split: SplitName) -> Iterator[PictureFolder]:
    """Return the subfolders for a split, or for masks."""
    return (f for f in folder.folders if split_name(f.name) == split)


def kind_reading(
    owners: Sequence[PictureFolder],
    kind: PictureFolder,
    category: str,
    words: Words,
    is_loco: bool,
) -> tuple[list[Record], dict[Path, str]]:
    """Read the test pictures of a good folder or of one kind of defect, with their masks.

    Args:
        owners: folders that may have masks in them: that of the product, and that of the kinds.
        kind: folder of the pictures.
        category: name of the product.
        words: what counts as good and bad.
        is_loco: whether every picture has a folder of masks.

    Returns:
        Records, and folder -> why its pictures that are in no record are not used.

    Raises:
        InputError: two masks belong to one picture.
    """
    if words.meaning(kind.name) == "good":
        return [Record(category, "test", GOOD, path) for path in kind.all_pictures()], {}
    pictures, within = _without_masks(kind)
    reasons = {f.path: NO_PICTURE for f in kind.every() if f is not kind and _is_masks(f)}
    beside = {f.name for f in owners[-1].folders}
    inner = [f for f in kind.folders if words.is_general(kind.name) and f.name not in beside]
    masks_of = _masks_of(owners, (kind, *inner), within, is_loco)
    places = {
        f.name for good in owners[-1].folders if words.meaning(good.name) == "good" for f in good.every()
    }
    records = [
        Record(category, "test", _defect(kind, path, words, places), path, masks_of(path))
        for path in pictures
    ]
    return records, reasons


def _defect(kind: PictureFolder, path: Path, words: Words, places: Collection[str]) -> str:
    """Return the kind of defect of a picture: below ``NOK`` a subfolder, unless it says when or where.

    Args:
        kind: folder beside the good ones.
        path: the picture.
        words: what counts as good and bad.
        places: names of folders that good pictures have too.
    """
    if words.is_general(kind.name):
        for name in path.relative_to(kind.path).parts[:-1]:
            if not (
                is_place(name) or name in places or words.is_general(name) or words.meaning(name) == "good"
            ):
                return name
    return kind.name


def _is_masks(folder: PictureFolder) -> bool:
    return masked_name(folder.name) is not None


def _without_masks(kind: PictureFolder) -> tuple[list[Path], dict[str, list[Path]]]:
    """Return the pictures of a kind of defect, and the masks that lie among them by the picture's place.

    Masks are in folders of masks, and beside a picture as ``<name>_mask``.
    """
    files = [(path, path.relative_to(kind.path).with_suffix("")) for path in kind.all_pictures()]
    known = {place_text(place) for _, place in files}
    pictures, masks = [], defaultdict(list)
    for path, place in files:
        bare = [name if (own := masked_name(name)) is None else own for name in place.parts[:-1]]
        stem = place.name.casefold().removesuffix("_mask")
        target = place_text(Path(*bare, stem))
        if bare != list(place.parts[:-1]) or (stem != place.name.casefold() and target in known):
            masks[target].append(path)
        else:
            pictures.append(path)
    return pictures, masks


def _masks_of(
    owners: Sequence[PictureFolder],
    kinds: Sequence[PictureFolder],
    among: Mapping[str, Sequence[Path]],
    is_loco: bool,
) -> Callable[[Path], tuple[Path, ...]]:
    """Return what finds the masks of a picture of one kind of defect.

    Args:
        owners: see :func:`kind_reading`.
        kinds: folder of the pictures, and the folders in it that may be kinds of their own.
        among: masks that lie among the pictures.
        is_loco: see :func:`kind_reading`.
    """
    beside: dict[str, list[Path]] = defaultdict(list)
    within: dict[str, list[Path]] = defaultdict(list)
    top = kinds[0].path
    for base in kinds:
        start = base.path.relative_to(top)
        for masks in mask_folders(owners, base.name):
            for file in masks.all_pictures():
                place = start / file.relative_to(masks.path).with_suffix("")
                beside[place_text(place)].append(file)
                within[place_text(place.parent)].append(file)

    def masks_of(path: Path) -> tuple[Path, ...]:
        place = place_text(path.relative_to(top).with_suffix(""))
        if is_loco and place in within:
            return tuple(within[place])
        found = [*beside.get(place, ()), *beside.get(f"{place}_mask", ()), *among.get(place, ())]
        if found[1:]:
            raise InputError(f"{found[0]} and {found[1]} are both masks of {path}; keep one of them")
        return tuple(found)

    return masks_of


def mask_folders(owners: Iterable[PictureFolder], kind: str) -> Iterator[PictureFolder]:
    """Yield the folders that hold the masks of one kind of defect."""
    for owner in owners:
        for place in split_folders(owner, "masks"):
            if (masked_name(place.name) or "").casefold() == kind.casefold():
                yield place
            yield from (masks for masks in place.folders if masks.name.casefold() == kind.casefold())


def place_text(path: Path) -> str:
    """Return a place as it is compared: in any case."""
    return path.as_posix().casefold()
