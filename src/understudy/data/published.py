"""Folders in the layouts of published data sets -> records: MVTec AD, MVTec LOCO and VisA.

MVTec AD: ``<category>/train/good`` and ``<category>/test/<good or kind of defect>``. Masks are in
``<category>/ground_truth/<kind of defect>``, as ``<name>_mask.png`` or under the picture's own name, in the
same subfolder.

MVTec LOCO: ``<category>/{train,validation}/good`` and ``<category>/test/<good or kind of defect>``. Every
picture has a folder of masks, ``<category>/ground_truth/<kind>/<picture's stem>``, with one mask per defect.
``<category>/defects_config.json`` says what the values of masks mean. Bergmann et al., "Beyond Dents and
Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization", IJCV 2022.

Both are read with folder names in any case, with any word for ``good``, and with pictures that lie directly
in ``train`` or ``validation``.

VisA: ``<object>/Data/Images/{Normal,Anomaly}`` and ``<object>/Data/Masks/Anomaly`` for every object. Beside
the objects, ``split_csv/1cls.csv`` says what each picture is for. Zou et al., "SPot-the-Difference
Self-Supervised Pre-training for Anomaly Detection and Segmentation", ECCV 2022.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from understudy.data.kinds import (
    NO_PICTURE,
    kind_reading,
    mask_folders,
    masked_name,
    place_text,
    split_folders,
    split_name,
)
from understudy.data.lists import SPLITS, checked, one_of, read_rows
from understudy.data.records import GOOD, Record, Saturation, Saturations
from understudy.data.words import Words, plain_word
from understudy.errors import InputError
from understudy.runtime.walk import PictureFolder

__all__ = [
    "DEFECTS_CONFIG",
    "SPLIT_LIST",
    "Reading",
    "has_splits",
    "is_visa_object",
    "is_visa_root",
    "labelled_reading",
    "read_saturations",
    "split_reading",
    "visa_object_reading",
    "visa_reading",
]


@dataclass
class Reading:
    """What a folder was read as.

    Attributes:
        layout: layout, in words.
        records: its records.
        reasons: folder -> why its pictures that are in no record are not used.
        saturations: category -> meaning of the values of its masks, where there is one.
    """

    layout: str
    records: list[Record] = field(default_factory=list)
    reasons: dict[Path, str] = field(default_factory=dict)
    saturations: dict[str, Saturations] = field(default_factory=dict)


def has_splits(folder: PictureFolder) -> bool:
    """Tell whether a folder looks like one category in MVTec layout: it has a split, or ``ground_truth``."""
    return any(
        split_name(f.name) in ("train", "test", "validation") or plain_word(f.name) == "groundtruth"
        for f in folder.folders
    )


def split_reading(
    folder: PictureFolder, category: str, words: Words, layout: Literal["auto", "mvtec", "loco"] = "auto"
) -> Reading:
    """Read one category that has splits; a defect that no mask belongs to has no masks.

    Args:
        folder: folder of the category.
        category: name of the category.
        words: what counts as good.
        layout: how masks are named; ``auto`` finds out.

    Raises:
        InputError: a folder below ``train`` or ``validation`` is neither good nor bad by its name, good
            pictures lie beside ``test`` and there is no ``train``, or two masks belong to one picture.
    """
    _refuse_good_beside_test(folder, words)
    is_loco = layout == "loco" or (layout == "auto" and _is_loco(folder, words))
    reading = Reading("MVTec LOCO" if is_loco else "MVTec AD")
    reading.reasons[folder.path] = "beside the splits of a product"
    for split in ("train", "validation"):
        for place in split_folders(folder, split):
            _read_good(place, category, split, words, reading)
    for place in split_folders(folder, "test"):
        reading.reasons[place.path] = f"loose in {place.name}, so neither good nor of a kind of defect"
        for kind in place.folders:
            if masked_name(kind.name) is not None:
                reading.reasons[kind.path] = NO_PICTURE
            else:
                _add_kind(reading, *kind_reading((folder, place), kind, category, words, is_loco))
    for place in split_folders(folder, "masks"):
        reading.reasons[place.path] = NO_PICTURE
    if saturations := read_saturations(folder.path):
        reading.saturations[category] = saturations
    return reading


def labelled_reading(folder: PictureFolder, category: str, words: Words) -> Reading:
    """Read one category whose subfolders are good or bad by their names: good to learn from, bad to test.

    A subfolder that is neither is a kind of defect. Masks are in ``ground_truth`` or ``masks``, as in MVTec
    AD, in ``<kind>_masks``, or beside the picture as ``<name>_mask``.

    Raises:
        InputError: two masks belong to one picture.
    """
    reading = Reading("good and bad")
    for kind in folder.folders:
        if split_name(kind.name) == "masks":
            reading.reasons[kind.path] = NO_PICTURE
        elif words.meaning(kind.name) == "good":
            reading.records += (Record(category, "train", GOOD, path) for path in kind.all_pictures())
        else:
            _add_kind(reading, *kind_reading((folder,), kind, category, words, is_loco=False))
    return reading


def _add_kind(reading: Reading, records: Sequence[Record], reasons: Mapping[Path, str]) -> None:
    reading.records += records
    reading.reasons |= reasons


def _read_good(
    place: PictureFolder,
    category: str,
    split: Literal["train", "validation"],
    words: Words,
    reading: Reading,
) -> None:
    """Add the good pictures of ``train`` or ``validation``: those of its good folders, and loose ones."""
    pictures = list(place.pictures)
    for kind in place.folders:
        meaning = words.meaning(kind.name)
        if meaning == "good":
            pictures += kind.all_pictures()
        elif meaning == "bad":
            reading.reasons[kind.path] = f"defects in {place.name}, and only good pictures are learned from"
        elif kind.has_pictures():
            raise InputError(
                f"{kind.path} is neither good nor bad by its name, and may be a product too; name it with "
                f"--good or --bad, or arrange products as <product>/{place.name}/good"
            )
    reading.records += (Record(category, split, GOOD, path) for path in sorted(pictures))


def _refuse_good_beside_test(folder: PictureFolder, words: Words) -> None:
    if any(f.has_pictures() for f in split_folders(folder, "train")):
        return
    for test in split_folders(folder, "test"):
        for good in folder.folders:
            if words.meaning(good.name) == "good" and good.has_pictures():
                raise InputError(
                    f"{good.path} lies beside {test.name}, and good pictures to learn from belong into "
                    f"train; move it to {folder.path / 'train' / 'good'}"
                )


def _is_loco(folder: PictureFolder, words: Words) -> bool:
    """Tell whether a category is in MVTec LOCO layout.

    It is if it has a ``defects_config.json``, good validation pictures, or a folder of masks for a test
    picture.
    """
    if DEFECTS_CONFIG in folder.others:
        return True
    if any(words.meaning(k.name) == "good" for v in split_folders(folder, "validation") for k in v.folders):
        return True
    for test in split_folders(folder, "test"):
        for kind in test.folders:
            tested = {place_text(path.relative_to(kind.path).with_suffix("")) for path in kind.all_pictures()}
            nested = {place_text(inner.path.relative_to(kind.path)) for inner in kind.every()}
            for masks in mask_folders((folder,), kind.name):
                own = {place_text(f.path.relative_to(masks.path)) for f in masks.every() if f.pictures}
                if own & tested - nested:
                    return True
    return False


DEFECTS_CONFIG = "defects_config.json"


def read_saturations(folder: Path) -> Saturations:
    """Read what the values of a category's masks mean; empty without a ``defects_config.json``.

    Raises:
        InputError: the file is no list of defects, or two defects have one value.
    """
    path = folder / DEFECTS_CONFIG
    if not path.is_file():
        return {}
    try:
        defects = TypeAdapter(list[Saturation]).validate_python(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is no list of defects: {where}: {first['msg']}; mend or remove it"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}; mend or remove it") from error
    meaning = {defect.pixel_value: defect for defect in defects}
    if len(meaning) < len(defects):
        raise InputError(f"{path} gives one pixel_value to two defects; each needs its own")
    return meaning


SPLIT_LIST = Path("split_csv") / "1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS = {word: SPLITS[word] for word in ("train", "test")}
_LABELS = {"normal": GOOD, "anomaly": "anomaly"}
_UNLISTED = f"not in {SPLIT_LIST.as_posix()}"


def is_visa_object(folder: PictureFolder) -> bool:
    """Tell whether a folder is one object of VisA: it has ``Data/Images/Normal`` or ``.../Anomaly``."""
    return any((folder.path / "Data" / "Images" / kind).is_dir() for kind in ("Normal", "Anomaly"))


def is_visa_root(folder: PictureFolder) -> bool:
    """Tell whether a folder holds objects of VisA, or the list of their pictures."""
    return (folder.path / SPLIT_LIST).is_file() or any(map(is_visa_object, folder.folders))


def visa_reading(folder: PictureFolder) -> Reading:
    """Read all that the list below a folder names.

    Raises:
        InputError: the list is missing, breaks its rules, or names missing files.
    """
    return Reading("VisA", _listed_records(folder.path, None), {folder.path: _UNLISTED})


def visa_object_reading(folder: PictureFolder) -> Reading:
    """Read one object by the list beside its folder.

    Raises:
        InputError: see :func:`visa_reading`; or the list does not name the object.
    """
    real = folder.path.resolve()
    return Reading("VisA", _listed_records(real.parent, real.name), {folder.path: _UNLISTED})


def _listed_records(root: Path, name: str | None) -> list[Record]:
    """Return the records of one object, or of all if ``name`` is ``None``."""
    source = root / SPLIT_LIST
    if not source.is_file():
        raise InputError(
            f"{source} is missing, which says what VisA's pictures are for; "
            "take it from the folder split_csv of github.com/amazon-science/spot-diff"
        )
    placed, known = [], set()
    for row in read_rows(source, _COLUMNS, _COLUMNS):
        cells = row.cells
        if not (cells["object"] and cells["image"]):
            raise InputError(f"{row.place}: the object or the image is empty; fill it in")
        known.add(cells["object"])
        if name in (None, cells["object"]):
            split, defect = one_of(_SPLITS, row, "split"), one_of(_LABELS, row, "label")
            masks = (root / cells["mask"],) if cells["mask"] and defect != GOOD else ()
            placed.append((row.place, Record(cells["object"], split, defect, root / cells["image"], masks)))
    if name and name not in known:
        raise InputError(f"{source} knows no object {name!r}; it lists {', '.join(sorted(known)) or 'none'}")
    return checked(source, placed)
