"""Folders of published data sets -> records: MVTec AD, MVTec LOCO and VisA.

MVTec AD: ``<category>/train/good``, ``<category>/test/<good or defect>``, and masks in
``<category>/ground_truth/<defect>`` as ``<name>_mask.png`` or under the picture's own name.

MVTec LOCO: ``<category>/{train,validation}/good``, ``<category>/test/<good or kind of defect>``, and a folder of masks
for every picture, ``<category>/ground_truth/<kind>/<picture's stem>``, with one mask for each of its defects.
``<category>/defects_config.json`` says what the masks' values mean. Bergmann et al., "Beyond Dents and Scratches:
Logical Constraints in Unsupervised Anomaly Detection and Localization", IJCV 2022.

VisA: ``<object>/Data/Images/{Normal,Anomaly}`` and ``<object>/Data/Masks/Anomaly`` for every object, and beside them
``split_csv/1cls.csv``, which says what each picture is for. Zou et al., "SPot-the-Difference Self-Supervised
Pre-training for Anomaly Detection and Segmentation", ECCV 2022.
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
"""Masks of the pictures of one kind, under their lower-case stems."""


def is_mvtec_category(folder: Path) -> bool:
    """Whether a folder looks like one category: it has a split, or masks."""
    return any((folder / part).is_dir() for part in ("train", "test", "ground_truth"))


def mvtec_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a mask file has none."""
    return _good_records(folder, category, "train") + _tested_records(folder, category, _mask_by_stem)


def _good_records(folder: Path, category: str, split: Literal["train", "validation"]) -> list[Record]:
    """Good pictures of a split of one category."""
    return [Record(category, split, GOOD, path) for path in _pictures_in(folder / split / GOOD)]


def _tested_records(folder: Path, category: str, masks_of: Callable[[Path], MasksByStem]) -> list[Record]:
    """Test pictures of one category, good and defective.

    Args:
        folder: of the category.
        category: its name.
        masks_of: gives the masks in the folder of one kind, which need not exist.
    """
    records = []
    for kind in folders_in(folder / "test"):
        masks = {} if kind.name == GOOD else masks_of(folder / "ground_truth" / kind.name)
        for path in _pictures_in(kind):
            records.append(Record(category, "test", kind.name, path, masks.get(path.stem.lower(), ())))
    return records


def folders_in(folder: Path) -> list[Path]:
    """Folders right below a folder, sorted, but for links that lead back up; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(d for d in folder.iterdir() if d.is_dir() and not _leads_back(d))


def _pictures_in(folder: Path) -> list[Path]:
    """Pictures of a folder, sorted; none if it does not exist."""
    return find_pictures(folder) if folder.is_dir() else []


def _mask_by_stem(folder: Path) -> MasksByStem:
    """``003_mask.png`` and ``003.PNG`` belong to 003."""
    return {path.stem.lower().removesuffix("_mask"): (path,) for path in _pictures_in(folder)}


def _leads_back(folder: Path) -> bool:
    """Whether a folder is a link to one that it lies in: all of that would be found again below it."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


DEFECTS_CONFIG = "defects_config.json"


def is_loco_category(folder: Path) -> bool:
    """Whether a folder is one category in this layout.

    It is if it explains its masks, has a validation split, or has a folder of masks for a test picture.
    """
    if (folder / DEFECTS_CONFIG).is_file() or (folder / "validation" / GOOD).is_dir():
        return True
    for kind in folders_in(folder / "ground_truth"):
        tested = {path.stem.lower() for path in _pictures_in(folder / "test" / kind.name)}
        if any(stem in tested and masks for stem, masks in _mask_folder_by_stem(kind).items()):
            return True
    return False


def loco_records(folder: Path, category: str) -> list[Record]:
    """All records of one category; a defect without a folder of masks has none."""
    return [
        *_good_records(folder, category, "train"),
        *_good_records(folder, category, "validation"),
        *_tested_records(folder, category, _mask_folder_by_stem),
    ]


def read_saturations(folder: Path) -> Saturations:
    """What the values of a category's masks mean; nothing where it has no ``defects_config.json``.

    Raises:
        InputError: the file is no list of defects, or two of them have one value.
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
    """The folder ``003`` holds the masks of 003."""
    return {masks.name.lower(): tuple(_pictures_in(masks)) for masks in folders_in(folder)}


SPLIT_LIST = Path("split_csv") / "1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS = {word: SPLITS[word] for word in ("train", "test")}
_LABELS = {"normal": GOOD, "anomaly": "anomaly"}


def is_visa_object(folder: Path) -> bool:
    """Whether a folder is one object: it has ``Data/Images/Normal`` or ``Data/Images/Anomaly``."""
    return any((folder / "Data" / "Images" / kind).is_dir() for kind in ("Normal", "Anomaly"))


def is_visa_root(folder: Path) -> bool:
    """Whether a folder holds objects, or the list of their pictures."""
    return (folder / SPLIT_LIST).is_file() or any(map(is_visa_object, folders_in(folder)))


def visa_records(folder: Path) -> list[Record]:
    """All records that the list below a folder names.

    Raises:
        InputError: the list is missing, breaks its rules, or names missing files.
    """
    return _listed_records(folder, None)


def visa_object_records(folder: Path) -> list[Record]:
    """Records of one object, from the list beside its folder.

    Raises:
        InputError: as for :func:`visa_records`, or the list does not know the object.
    """
    real = folder.resolve()
    return _listed_records(real.parent, real.name)


def _listed_records(root: Path, name: str | None) -> list[Record]:
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
