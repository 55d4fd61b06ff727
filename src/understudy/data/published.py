"""Folders in the layouts of published data sets -> records: MVTec AD, MVTec LOCO and VisA.

MVTec AD: ``<category>/train/good`` and ``<category>/test/<good or kind of defect>``. Masks are in
``<category>/ground_truth/<kind of defect>``, as ``<name>_mask.png`` or under the picture's own name.

MVTec LOCO: ``<category>/{train,validation}/good`` and ``<category>/test/<good or kind of defect>``. Every
picture has a folder of masks, ``<category>/ground_truth/<kind>/<picture's stem>``, with one mask per defect.
``<category>/defects_config.json`` says what the values of masks mean. Bergmann et al., "Beyond Dents and
Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization", IJCV 2022.

VisA: ``<object>/Data/Images/{Normal,Anomaly}`` and ``<object>/Data/Masks/Anomaly`` for every object. Beside
the objects, ``split_csv/1cls.csv`` says what each picture is for. Zou et al., "SPot-the-Difference
Self-Supervised Pre-training for Anomaly Detection and Segmentation", ECCV 2022.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from understudy.data.lists import SPLITS, checked, one_of, read_rows
from understudy.data.records import GOOD, Record, Saturation, Saturations
from understudy.errors import InputError
from understudy.runtime.images import find_pictures

__all__ = [
    "DEFECTS_CONFIG",
    "SPLIT_LIST",
    "folders_in",
    "is_loco_category",
    "is_mvtec_category",
    "is_visa_object",
    "is_visa_root",
    "loco_records",
    "mvtec_records",
    "read_saturations",
    "visa_object_records",
    "visa_records",
]

MasksByStem = Mapping[str, tuple[Path, ...]]
"""Masks of the pictures of one kind of defect, by the picture's stem in lower case."""


def is_mvtec_category(folder: Path) -> bool:
    """Tell whether a folder looks like one category in MVTec AD layout: it has a split, or masks."""
    return any((folder / part).is_dir() for part in ("train", "test", "ground_truth"))


def mvtec_records(folder: Path, category: str) -> list[Record]:
    """Return the records of one category; a defect without a mask file has no masks."""
    return _good_records(folder, category, "train") + _tested_records(folder, category, _mask_by_stem)


def _good_records(folder: Path, category: str, split: Literal["train", "validation"]) -> list[Record]:
    """Return the records of the good pictures of one split."""
    return [Record(category, split, GOOD, path) for path in _pictures_in(folder / split / GOOD)]


def _tested_records(folder: Path, category: str, masks_of: Callable[[Path], MasksByStem]) -> list[Record]:
    """Return the records of the test pictures of one category, good and defective.

    Args:
        folder: folder of the category.
        category: name of the category.
        masks_of: returns the masks in a folder of one kind of defect, which may not exist.
    """
    records = []
    for kind in folders_in(folder / "test"):
        masks = {} if kind.name == GOOD else masks_of(folder / "ground_truth" / kind.name)
        for path in _pictures_in(kind):
            records.append(Record(category, "test", kind.name, path, masks.get(path.stem.lower(), ())))
    return records


def folders_in(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, sorted, without links to a parent; empty if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(d for d in folder.iterdir() if d.is_dir() and not _leads_back(d))


def _pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted; empty if it does not exist."""
    return find_pictures(folder) if folder.is_dir() else []


def _mask_by_stem(folder: Path) -> MasksByStem:
    """Return the mask of each picture: ``003_mask.png`` and ``003.PNG`` belong to 003."""
    return {path.stem.lower().removesuffix("_mask"): (path,) for path in _pictures_in(folder)}


def _leads_back(folder: Path) -> bool:
    """Tell whether a folder is a link to a folder that it lies in: all pictures would be found twice."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


DEFECTS_CONFIG = "defects_config.json"


def is_loco_category(folder: Path) -> bool:
    """Tell whether a folder is one category in MVTec LOCO layout.

    It is if it has a ``defects_config.json``, a validation split, or a folder of masks for a test picture.
    """
    if (folder / DEFECTS_CONFIG).is_file() or (folder / "validation" / GOOD).is_dir():
        return True
    for kind in folders_in(folder / "ground_truth"):
        tested = {path.stem.lower() for path in _pictures_in(folder / "test" / kind.name)}
        if any(stem in tested and masks for stem, masks in _mask_folder_by_stem(kind).items()):
            return True
    return False


def loco_records(folder: Path, category: str) -> list[Record]:
    """Return the records of one category; a defect without a folder of masks has no masks."""
    return [
        *_good_records(folder, category, "train"),
        *_good_records(folder, category, "validation"),
        *_tested_records(folder, category, _mask_folder_by_stem),
    ]


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
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}; mend or remove it") from error
    meaning = {defect.pixel_value: defect for defect in defects}
    if len(meaning) < len(defects):
        raise InputError(f"{path} gives one pixel_value to two defects; each needs its own")
    return meaning


def _mask_folder_by_stem(folder: Path) -> MasksByStem:
    """Return the masks of each picture: the folder ``003`` holds those of 003."""
    return {masks.name.lower(): tuple(_pictures_in(masks)) for masks in folders_in(folder)}


SPLIT_LIST = Path("split_csv") / "1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS = {word: SPLITS[word] for word in ("train", "test")}
_LABELS = {"normal": GOOD, "anomaly": "anomaly"}


def is_visa_object(folder: Path) -> bool:
    """Tell whether a folder is one object of VisA: it has ``Data/Images/Normal`` or ``.../Anomaly``."""
    return any((folder / "Data" / "Images" / kind).is_dir() for kind in ("Normal", "Anomaly"))


def is_visa_root(folder: Path) -> bool:
    """Tell whether a folder holds objects of VisA, or the list of their pictures."""
    return (folder / SPLIT_LIST).is_file() or any(map(is_visa_object, folders_in(folder)))


def visa_records(folder: Path) -> list[Record]:
    """Return all records that the list below a folder names.

    Raises:
        InputError: the list is missing, breaks its rules, or names missing files.
    """
    return _listed_records(folder, None)


def visa_object_records(folder: Path) -> list[Record]:
    """Return the records of one object, from the list beside its folder.

    Raises:
        InputError: see :func:`visa_records`; or the list does not name the object.
    """
    real = folder.resolve()
    return _listed_records(real.parent, real.name)


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
