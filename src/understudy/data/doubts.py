"""What the names in a folder say, and the sentences that refuse a folder with two readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from understudy.data.kinds import split_name
from understudy.data.published import has_splits
from understudy.data.words import FLAGS, Words, is_place, plain_word
from understudy.errors import InputError
from understudy.runtime.walk import PictureFolder

__all__ = [
    "FolderContent",
    "Level",
    "folder_content",
    "is_or_are",
    "names_of",
    "refuse_hints",
    "refuse_hints_beside_good",
    "refuse_products_within",
    "refuse_unsorted",
    "speaking_folders",
    "two_readings",
    "two_readings_of_product",
]

_SHOWN = 4  # names in a message, at most

Level = Literal["root", "product", "any"]
"""Whether a folder is what the user named, a product in it, or one that the user says is a product."""


@dataclass
class FolderContent:
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


def folder_content(folder: PictureFolder, words: Words) -> FolderContent:
    """Sort the subfolders of a folder by what their names mean."""
    content = FolderContent(bool(folder.pictures))
    lists = {"good": content.good, "bad": content.bad, "masks": content.masks, None: content.unknown}
    for inner in folder.folders:
        if inner.has_pictures():
            meaning = words.meaning(inner.name)
            is_masks = meaning is None and split_name(inner.name) == "masks"
            lists["masks" if is_masks else meaning].append(inner)
    return content


def speaking_folders(folder: PictureFolder, words: Words) -> list[PictureFolder]:
    """Return the folders below whose names say that pictures are good, bad, masks or of a split."""
    return [
        f
        for f in folder.every()
        if f is not folder
        and f.has_pictures()
        and (words.meaning(f.name) or split_name(f.name) or "bad" in words.hints(f.name))
    ]


def refuse_hints(folder: PictureFolder, content: FolderContent, words: Words, level: Level) -> None:
    """Refuse names that would be products, and hold a word for bad, or mean good and bad like 0 and 1."""
    bad = [f for f in content.unknown if "bad" in words.hints(f.name)]
    good = [f for f in content.unknown if f not in bad and "good" in words.hints(f.name)]
    if bad:
        options = " ".join(
            f"--{option} {_quoted(','.join(f.name for f in folders))}"
            for option, folders in (("good", good), ("bad", bad))
            if folders
        )
        way = f"they mean good and bad, as {options} says"
    elif all(plain_word(f.name) in FLAGS for f in content.unknown) and (
        level == "root" or content.unknown[1:]
    ):
        bad, way = content.unknown, "they mean good and bad; say which with --good and --bad"
    else:
        return
    shown = sorted([*good, *bad], key=lambda f: f.path)
    other = (
        f"{names_of(shown)} {is_or_are(shown, 'is a product', 'are products')}, as --layout products says"
        if level == "root"
        else f"{names_of(shown)} {is_or_are(shown, 'is one part', 'are parts')} of the product; then rename "
        f"{is_or_are(shown, 'it', 'them')}"
    )
    raise InputError(f"{folder.path} can be read in two ways: {other}; or {way}")


def refuse_hints_beside_good(folder: PictureFolder, content: FolderContent, words: Words) -> None:
    """Refuse a folder beside good ones that would be a kind of defect, and has good in its name."""
    for kind in content.unknown:
        if words.hints(kind.name) == {"good"}:
            raise InputError(
                f"{folder.path} can be read in two ways: {kind.name} is good, as --good {_quoted(kind.name)} "
                f"says, or a kind of defect, as --bad {_quoted(kind.name)} says"
            )


def refuse_products_within(folder: PictureFolder, content: FolderContent, words: Words, level: Level) -> None:
    """Refuse good and bad folders that hold products, which would all be learned as one."""
    defects = content.bad + content.unknown
    for kind in content.good + defects:
        is_good = kind in content.good
        for inner in kind.every():
            if inner is kind or not inner.has_pictures():
                continue
            meaning = words.meaning(inner.name)
            hints = words.hints(inner.name) if meaning is None and is_good else frozenset()
            if has_splits(inner) or meaning == ("bad" if is_good else "good") or "bad" in hints:
                what = "good" if is_good else "a kind of defect"
                raise InputError(
                    f"{folder.path} can be read in two ways: {kind.name} is a product with good and bad "
                    f"pictures, as --layout products says, or all of it is {what}; then rename the "
                    "folders in it"
                    if level == "root"
                    else f"{kind.path} is {what} by its name, and {inner.name} in it says something else; "
                    "move the pictures where they belong, or rename the folder"
                )
    if level != "root" or words.good or words.bad:
        return  # at a product, folders within are no products
    within = [
        {f.name for kind in kinds for f in kind.folders if f.has_pictures() and not is_place(f.name)}
        for kinds in (content.good, defects)
    ]
    if all(within):
        names = sorted(set.union(*within))
        good, bad = content.good[0].name, defects[0].name
        raise InputError(
            f"{folder.path} can be read in two ways: {_join(names)} in {good} and in {bad} "
            f"{is_or_are(names, 'is a product', 'are products')}; then arrange "
            f"{is_or_are(names, 'it', 'them')} as <product>/{good} and <product>/{bad}; "
            f"or all are one product, as --good {_quoted(good)} --bad {_quoted(bad)} says"
        )


def two_readings(root: PictureFolder, content: FolderContent) -> InputError:
    """Return the error for a folder that the table does not read."""
    start = f"{root.path} can be read in two ways: "
    unknown = names_of(content.unknown)
    if content.loose and not content.named:
        return InputError(
            f"{start}all pictures are good ones of one product, as --layout good says, or the folders "
            f"({unknown}) are products, as --layout products says, and the loose pictures are left out"
        )
    if content.loose:
        return InputError(
            f"{start}its loose pictures are good, or not yet sorted, beside {names_of(content.named)}; move "
            "them into a folder good, or say --layout good if all pictures below are good"
        )
    if content.bad:
        good = ",".join(f.name for f in content.unknown)
        return InputError(
            f"{start}{unknown} {is_or_are(content.unknown, 'is a product', 'are products')}, as --layout "
            f"products says, and {names_of(content.bad)} is left out; or the pictures in {unknown} are good "
            f"ones of one product, as --good {_quoted(good)} says"
        )
    what = is_or_are(content.masks, "holds masks, or is a product", "hold masks, or are products")
    return InputError(
        f"{start}{names_of(content.masks)} {what}, as --layout products says; masks belong "
        "beside folders good and bad, or into ground_truth beside train and test"
    )


def two_readings_of_product(folder: PictureFolder, content: FolderContent) -> InputError:
    """Return the error for a folder among products that the table does not read."""
    start = f"{folder.path} can be read in two ways: "
    unknown = _quoted(",".join(f.name for f in content.unknown))
    if content.loose and content.named:
        return InputError(
            f"{start}its loose pictures are good, or not yet sorted, beside {names_of(content.named)}; move "
            "them into a folder good"
        )
    if content.named:
        return InputError(
            f"{start}beside {names_of(content.named)}, its other folders are good, as --good "
            f"{unknown or 'NAME'} says, or kinds of defect, as --bad {unknown or 'NAME'} says"
        )
    return InputError(
        f"{start}it is one product, as --layout products says, or what it holds "
        f"({names_of(content.unknown)}) {is_or_are(content.unknown, 'is a product', 'are products')}; then "
        f"name {folder.path} itself"
    )


def refuse_unsorted(folder: PictureFolder, words: Words) -> None:
    """Refuse a folder that would be good pictures, and has words for good, bad or a split further below."""
    content = folder_content(folder, words)
    if speaking := [f for f in speaking_folders(folder, words) if f not in content.named]:
        place = speaking[0].path.relative_to(folder.path)
        raise InputError(
            f"{folder.path} holds {place}, so its pictures are not all good, and others below it are neither "
            f"good nor bad by their folders; arrange all as {folder.name}/good and {folder.name}/bad"
        )


def names_of(folders: Sequence[PictureFolder]) -> str:
    """Return the names of some folders, for a sentence."""
    return _join([f.name for f in folders])


def is_or_are(things: Sequence[object], one: str, several: str) -> str:
    """Return the words for one thing, or those for several."""
    return several if things[1:] else one


def _quoted(words: str) -> str:
    """Return words as a shell takes them."""
    return f'"{words}"' if " " in words else words


def _join(names: Sequence[str]) -> str:
    shown = [*names[:_SHOWN], *(["..."] if names[_SHOWN:] else [])]
    return ", ".join(shown)
