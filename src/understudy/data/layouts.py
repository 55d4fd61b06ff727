"""A folder in any known layout, or a list of pictures -> its records."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from understudy.data import lists
from understudy.data.published import DEFECTS_CONFIG, SPLIT_LIST, Reading
from understudy.data.recognise import read_layout
from understudy.data.records import PictureData, PictureSet
from understudy.data.remote import fetch, is_uri, uri_of
from understudy.data.words import Words, words_of
from understudy.errors import InputError
from understudy.runtime.walk import LeftOut, PictureFolder, exists, read_folders
from understudy.types import LayoutChoice

__all__ = ["as_picture_set", "open_pictures"]

_KNOWN_FILES = frozenset({DEFECTS_CONFIG, SPLIT_LIST.name})
_NOT_BY_NAME = "no picture by its name"
_SUFFIXES = 4  # in a reason, at most


def open_pictures(
    root: str | Path, layout: LayoutChoice = "auto", good: Sequence[str] = (), bad: Sequence[str] = ()
) -> PictureSet:
    """Find the pictures of a folder or of a list.

    Args:
        root: folder in MVTec AD, MVTec LOCO or VisA layout, one category of such a folder, one product a
            folder, folders of good and bad pictures, good pictures alone, or a list of pictures (.csv,
            .parquet), which may be a URI such as ``s3://line/list.csv``.
        layout: ``auto`` finds the layout, and refuses a folder that can be read in two ways. ``mvtec``,
            ``loco`` and ``visa`` are those of the data sets. ``products``: every subfolder is a product.
            ``good``: all pictures below are good ones of one product. ``list``: a list.
        good: names of folders, or labels of a list, that count as good besides the usual words.
        bad: the same for bad.

    Raises:
        InputError: the path is missing or cannot be read, breaks the rules of its layout, can be read in two
            ways, or holds no pictures.
        WorkError: what a URI names cannot be fetched.
    """
    if layout not in get_args(LayoutChoice):
        raise InputError(f"a layout is one of {', '.join(get_args(LayoutChoice))}, got {layout!r}")
    words = words_of(good, bad)
    if layout == "good" and words.bad:
        raise InputError("in layout good all pictures are good; leave out --bad, or choose another layout")
    if not str(root).strip():
        raise InputError("the folder of pictures has no name; is a shell variable unset?")
    if isinstance(root, str) and is_uri(root):
        return _fetched(root, words, layout)
    root = Path(root)
    if not exists(root):
        if uri := uri_of(root):
            return _fetched(uri, words, layout)
        raise InputError(f"{root} does not exist; name a folder of pictures, or a list (.csv, .parquet)")
    try:
        if root.is_dir():
            return _folder(root, words, layout)
        if lists.is_list(root) and layout in ("auto", "list"):
            return _list(root, words)
    except OSError as error:
        raise InputError(f"{root} cannot be listed: {error.strerror or error}") from error
    raise InputError(
        f"{root} is a file; name the folder that holds the pictures, or a list of them (.csv, .parquet)"
    )


def as_picture_set(data: PictureData) -> PictureSet:
    """Return the pictures of a folder or of a list, found already or not; see :func:`open_pictures`."""
    return data if isinstance(data, PictureSet) else open_pictures(data)


def _list(root: Path, words: Words, uri: str | None = None) -> PictureSet:
    records = lists.list_records(root, words, uri)
    return _checked(PictureSet(Path(uri) if uri else root, "list of pictures", tuple(sorted(records))))


def _fetched(uri: str, words: Words, layout: LayoutChoice) -> PictureSet:
    """Read a list that a URI names."""
    if not lists.is_list(Path(uri)) or layout not in ("auto", "list"):
        raise InputError(f"{uri} is no list; a URI names a list of pictures (.csv, .parquet)")
    return _list(fetch(uri), words, uri)


def _folder(root: Path, words: Words, layout: LayoutChoice) -> PictureSet:
    tree, left_out = read_folders(root, skip_unreadable=True)
    reading = read_layout(tree, words, layout)
    words.refuse_unused((folder.name for folder in tree.every()), root)
    left_out += [*_unused(tree, reading), *_empty(tree, left_out)]
    return _checked(
        PictureSet(
            root,
            reading.layout,
            tuple(sorted(reading.records)),
            reading.saturations,
            tuple(sorted(left_out)),
        )
    )


def _checked(found: PictureSet) -> PictureSet:
    if not found.records:
        unused = [each for each in found.left_out if each.files and not each.reason.startswith(_NOT_BY_NAME)]
        what = "no pictures that can be used" if unused else "no pictures"
        why = "".join(f" (left out: {each.reason})" for each in [*unused, *found.left_out][:1])
        raise InputError(
            f"{found.root} holds {what}{why}; expected <category>/train/good/*.png, or good pictures alone"
        )
    _refuse_names(found)
    _refuse_twins(found.root, found.categories)
    return found


def _unused(tree: PictureFolder, reading: Reading) -> list[LeftOut]:
    """Return the pictures that are in no record, by folder and reason, and the files that are no pictures."""
    real: dict[Path, str] = {}  # folder -> folder without links

    def place(path: Path) -> tuple[str, str]:
        folder = path.parent
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        return real[folder], path.name

    used = {place(path) for record in reading.records for path in (record.path, *record.masks)}
    left_out = []
    for folder in tree.every():
        if unused := sum(place(path) not in used for path in folder.pictures):
            left_out.append(LeftOut(folder.path, unused, _reason(folder.path, reading)))
        others = Counter(Path(name).suffix or name for name in folder.others if name not in _KNOWN_FILES)
        if others:
            suffixes = ", ".join(sorted(others)[:_SUFFIXES])
            left_out.append(LeftOut(folder.path, others.total(), f"{_NOT_BY_NAME} ({suffixes})"))
    return left_out


def _empty(tree: PictureFolder, left_out: Iterable[LeftOut]) -> Iterator[LeftOut]:
    """Yield the folders that hold nothing at all, not even what was passed over."""
    told = {place for each in left_out for place in (each.folder, each.folder.parent)}
    for folder in tree.every():
        if not (folder.pictures or folder.others or folder.folders or folder.path in told):
            yield LeftOut(folder.path, 0, "empty folder")


def _reason(folder: Path, reading: Reading) -> str:
    places = (place for place in (folder, *folder.parents) if place in reading.reasons)
    return reading.reasons[place] if (place := next(places, None)) else "in no layout"


def _refuse_names(found: PictureSet) -> None:
    """Refuse products and kinds of defect with names that no file or report could hold."""
    for name in sorted({name for record in found.records for name in (record.category, record.defect)}):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{found.root} has a folder {name!a}, which is not UTF-8; rename it") from error


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
