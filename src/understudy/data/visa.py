"""Records of VisA as it is published.

``<object>/Data/Images/{Normal,Anomaly}`` and ``<object>/Data/Masks/Anomaly`` for every object, and beside
them ``split_csv/1cls.csv``, which says what each picture is for. Zou et al., "SPot-the-Difference
Self-Supervised Pre-training for Anomaly Detection and Segmentation", ECCV 2022.
"""

from __future__ import annotations

from pathlib import Path

from understudy.data.listing import SPLITS, checked, one_of, read_rows
from understudy.data.mvtec import folders_in
from understudy.data.records import GOOD, Record
from understudy.errors import InputError

__all__ = ["SPLIT_LIST", "is_object", "is_root", "object_records", "root_records"]

SPLIT_LIST = Path("split_csv") / "1cls.csv"
_COLUMNS = ("object", "split", "label", "image", "mask")
_SPLITS = {word: SPLITS[word] for word in ("train", "test")}
_LABELS = {"normal": GOOD, "anomaly": "anomaly"}


def is_object(folder: Path) -> bool:
    """Whether a folder is one object: it has ``Data/Images/Normal`` or ``Data/Images/Anomaly``."""
    return any((folder / "Data" / "Images" / kind).is_dir() for kind in ("Normal", "Anomaly"))


def is_root(folder: Path) -> bool:
    """Whether a folder holds objects, or the list of their pictures."""
    return (folder / SPLIT_LIST).is_file() or any(map(is_object, folders_in(folder)))


def root_records(folder: Path) -> list[Record]:
    """All records that the list below a folder names.

    Raises:
        InputError: the list is missing, breaks its rules, or names missing files.
    """
    return _records(folder, None)


def object_records(folder: Path) -> list[Record]:
    """Records of one object, from the list beside its folder.

    Raises:
        InputError: as for :func:`root_records`, or the list does not know the object.
    """
    real = folder.resolve()
    return _records(real.parent, real.name)


def _records(root: Path, name: str | None) -> list[Record]:
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
