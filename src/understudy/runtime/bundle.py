"""The files of a saved model beside its manifest: pictures, prototypes, what is usual, ROIs, calibration."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from understudy.errors import BundleError, InputError, PictureError
from understudy.files import sha256_of, write_bytes, write_json, writing
from understudy.folders import draft_in, finish, locked, publish
from understudy.runtime.decision import Calibration, Prototypes
from understudy.runtime.manifest import (
    BUNDLE_SCHEMA,
    CALIBRATION,
    MANIFEST,
    PICTURES,
    PROTOTYPES,
    ROIS,
    USUAL,
    Manifest,
    check_schema,
    first_fault,
    list_all,
    read_json,
    read_manifest,
    write_manifest,
)
from understudy.runtime.masks import read_mask
from understudy.runtime.roi import Rois
from understudy.runtime.usual import ProductUsual, Usual
from understudy.runtime.usual_composition import N_PARTS, PartUsual, Shape, UsualComposition

__all__ = [
    "SeenPictures",
    "load_rois",
    "read_calibration",
    "read_pictures",
    "read_prototypes",
    "read_settled",
    "read_usual",
    "save_calibration",
    "save_rois",
    "save_usual",
    "write_prototypes",
    "write_usual",
]

_OF_SHAPE = ("mean", "axes", "more")
_DECIMALS = 8  # of a prototype; as fine as float32 near 1
_SOURCE = "take the model from its source"
# what numpy raises for a file that holds no such arrays
_NO_ARRAYS = (
    *(OSError, ValueError, TypeError, LookupError, EOFError, MemoryError, RuntimeError, SyntaxError),
    *(zipfile.BadZipFile, zlib.error),
)

_FileName = Annotated[str, Field(pattern=r"^roi(-\d+)?\.png$")]
_Number = Annotated[float, Field(ge=-1.0001, le=1.0001)]  # of a vector of unit length


class SeenPictures(BaseModel):
    """Digests of the pictures that a training used, and of those that it did not use.

    Attributes:
        trained: pictures learned from.
        validation: pictures that chose an epoch or scaled maps.
        held_out: pictures kept for the thresholds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trained: list[str]
    validation: list[str]
    held_out: list[str]


def read_pictures(folder: Path) -> SeenPictures:
    """Read the digests of the pictures of a training; :func:`read_manifest` checks the hash of the file.

    Raises:
        BundleError: the file holds something else.
    """
    return _valid(SeenPictures, folder / PICTURES)


def read_settled(folder: Path, read: Callable[[], _Read]) -> _Read:
    """Read a model while another process may put new files in place: the old one or the new, never both.

    Args:
        folder: folder of the model.
        read: reads all that is needed.

    Raises:
        BundleError: ``read`` raised it, and nobody is writing.
    """
    while True:
        before = _manifest_now(folder)
        try:
            result = read()
        except (BundleError, PictureError):
            if not finish(folder, MANIFEST) and _manifest_now(folder) == before:
                raise
        else:
            if _manifest_now(folder) == before:
                return result


def _manifest_now(folder: Path) -> bytes | None:
    try:
        return (folder / MANIFEST).read_bytes()
    except OSError:
        return None


class _Prototypes(RootModel[dict[str, list[_Number]]]):
    """Content of ``prototypes.json``: category -> mean embedding."""


class _RoiFiles(BaseModel):
    """Content of ``roi.json``: file of the mask for all categories, and of those for single ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overall: _FileName | None
    categories: dict[str, _FileName]


_Content = TypeVar("_Content", bound=BaseModel)
_Read = TypeVar("_Read")


def _valid(kind: type[_Content], path: Path) -> _Content:
    """Read a file of a model as what it must hold."""
    try:
        return kind.model_validate(read_json(path), strict=True)
    except ValidationError as error:
        raise BundleError(f"{path} is of another version: {first_fault(error)}; {_SOURCE}") from error


def write_prototypes(folder: Path, prototypes: Prototypes) -> None:
    """Write the prototypes of a model; call it before :func:`write_manifest`."""
    rows = {name: [round(float(x), _DECIMALS) for x in row] for name, row in prototypes.items()}
    write_json(folder / PROTOTYPES, rows)


def read_prototypes(folder: Path) -> Prototypes:
    """Read the prototypes of a model; :func:`read_manifest` checks the hash of the file.

    Raises:
        BundleError: the file holds something else.
    """
    rows = _valid(_Prototypes, folder / PROTOTYPES).root
    if len({len(row) for row in rows.values()}) > 1:
        raise BundleError(f"{folder / PROTOTYPES} has rows of several lengths; {_SOURCE}")
    return {name: np.asarray(row, np.float32) for name, row in rows.items()}


def write_usual(folder: Path, usual: Usual) -> None:
    """Write what is usual in the maps of each category; call it before :func:`write_manifest`."""
    columns = np.array([(u.level, u.centre, u.scale, u.n_good) for u in usual.values()], np.float64)
    spreads = {f"spread{i}": u.spread for i, u in enumerate(usual.values())}
    content = io.BytesIO()
    arrays: dict[str, Any] = {"categories": np.array(list(usual)), "numbers": columns, **spreads}
    for i, each in enumerate(usual.values()):
        for j, part in enumerate(each.composition.parts if each.composition else ()):
            arrays |= {f"{name}{i}_{j}": getattr(part.shape, name) for name in _OF_SHAPE}
            arrays[f"part{i}_{j}"] = np.array([part.shape.rest, part.centre, part.scale])
    np.savez_compressed(content, **arrays)
    write_bytes(folder / USUAL, content.getvalue())


def read_usual(folder: Path, manifest: Manifest) -> Usual | None:
    """Read what is usual in the maps of each category; ``None`` if scores are not comparable.

    :func:`read_manifest` checks the hash of the file.

    Raises:
        BundleError: the file holds something else.
    """
    if manifest.image_score != "comparable":
        return None
    path = folder / USUAL
    try:
        with (
            np.errstate(over="ignore"),
            np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as content,
        ):
            names = [str(name) for name in content["categories"]]
            rows = np.asarray(content["numbers"], np.float64).reshape(len(names), 4)
            spreads = [np.asarray(content[f"spread{i}"], np.float32) for i in range(len(names))]
            compositions = [_read_composition(content, i) for i in range(len(names))]
    except _NO_ARRAYS as error:
        raise BundleError(f"{path} is damaged or of another version; {_SOURCE}") from error
    sound = np.isfinite(rows).all() and (rows[:, 2:] > 0).all()
    sound &= all(s.ndim == 2 and s.size and np.isfinite(s).all() and (s > 0).all() for s in spreads)
    if not sound or sorted(names) != sorted(manifest.training.categories):
        raise BundleError(f"{path} is damaged or of another model; {_SOURCE}")
    return {
        name: ProductUsual(float(level), spread, float(centre), float(scale), int(n_good), composition)
        for name, spread, (level, centre, scale, n_good), composition in zip(
            names, spreads, rows, compositions, strict=True
        )
    }


def _read_composition(content: Mapping[str, Any], i: int) -> UsualComposition | None:
    """Read what is usual in the compositions of the category at place ``i``; ``None`` if nothing is stored.

    Raises:
        ValueError: the arrays do not fit together, or give no score.
    """
    if f"part{i}_0" not in content:
        return None
    parts = []
    for j in range(N_PARTS):
        mean, axes, more = (np.asarray(content[f"{name}{i}_{j}"], np.float32) for name in _OF_SHAPE)
        rest, centre, scale = (float(x) for x in content[f"part{i}_{j}"])
        fits = mean.ndim == 1 and more.ndim == 1 and axes.shape == more.shape + mean.shape
        if not (fits and mean.size and rest > 0 and scale > 0):
            raise ValueError("arrays that do not fit together")
        if not all(np.isfinite(x).all() for x in (mean, axes, more, rest, centre, scale)):
            raise ValueError("not finite")
        parts.append(PartUsual(Shape(mean, axes, more, rest), centre, scale))
    return UsualComposition(tuple(parts))


def save_usual(folder: Path, manifest: Manifest, usual: Usual) -> Manifest:
    """Add what is usual in the maps of each category to a model; its scores are comparable from then on.

    Args:
        folder: folder of the model.
        manifest: its manifest.
        usual: what is usual, for every category of the model.

    Returns:
        The new manifest.

    Raises:
        InputError: another process writes into the folder, or has replaced the model.
        WorkError: the folder cannot be written.
    """

    def write(draft: Path) -> None:
        write_usual(draft, usual)

    return _replaced(folder, manifest, USUAL, write, "train it again", {"image_score": "comparable"})


def save_rois(folder: Path, rois: Rois) -> list[str]:
    """Write the regions of interest and return the file names; call it before :func:`write_manifest`."""
    named = {name: f"roi-{i}.png" for i, name in enumerate(rois.categories)}
    masks = {named[name]: mask for name, mask in rois.categories.items()}
    overall = None
    if rois.overall is not None:
        overall = "roi.png"
        masks[overall] = rois.overall
    for file, mask in masks.items():
        with writing(folder / file):
            Image.fromarray(mask).save(folder / file)
    write_json(folder / ROIS, {"overall": overall, "categories": named})
    return [ROIS, *masks]


def load_rois(folder: Path, manifest: Manifest) -> Rois:
    """Read the regions of interest of a model; :func:`read_manifest` checks the hashes of the files.

    Raises:
        BundleError: the list of the masks holds something else.
        PictureError: a mask does not decode.
    """
    named = _valid(_RoiFiles, folder / ROIS)
    unlisted = {*named.categories.values(), named.overall or ROIS} - set(manifest.files)
    if unlisted:
        raise BundleError(f"{folder / min(unlisted)} is not on the list of {folder / MANIFEST}; {_SOURCE}")
    return Rois(
        read_mask(folder / named.overall) if named.overall else None,
        {name: read_mask(folder / file) for name, file in named.categories.items()},
    )


def save_calibration(folder: Path, manifest: Manifest, calibration: Calibration) -> Manifest:
    """Put a calibration in place of a model's old one, and its hash into the manifest.

    A stop at any moment leaves the old calibration or the new one.

    Args:
        folder: folder of the model.
        manifest: its manifest, as it was when the calibration was made.
        calibration: new thresholds and limits.

    Returns:
        The new manifest.

    Raises:
        InputError: another process writes into the folder, or has replaced the model.
        WorkError: the folder cannot be written.
    """

    def write(draft: Path) -> None:
        head = {"bundle_schema": BUNDLE_SCHEMA, "student_sha256": manifest.student_sha256}
        write_json(draft / CALIBRATION, head | calibration.model_dump(mode="json"))

    return _replaced(folder, manifest, CALIBRATION, write, "calibrate again", {})


def _replaced(
    folder: Path,
    manifest: Manifest,
    name: str,
    write: Callable[[Path], None],
    way_out: str,
    changes: Mapping[str, object],
) -> Manifest:
    """Put a new file in place of a model's old one, and its hash into the manifest."""
    with locked(folder, MANIFEST), draft_in(folder) as draft:
        list_all(folder)
        current = read_manifest(folder, calibrated=False)
        if current.student_sha256 != manifest.student_sha256:
            raise InputError(f"{folder} was trained anew meanwhile; {way_out}")
        write(draft)
        listed = {**current.files, name: sha256_of(draft / name)}
        new = current.model_copy(update={"bundle_schema": BUNDLE_SCHEMA, "files": listed, **changes})
        write_manifest(draft, new)
        publish(draft, folder, MANIFEST)
    return new


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """Read the calibration of a model; ``None`` if it is not calibrated.

    Raises:
        BundleError: the file is damaged, of another version, or made for another model.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    content = read_json(path, "calibrate again")
    check_schema(content, f"{path} is a calibration", "calibrate again")
    student = content.pop("student_sha256", None)
    content.pop("bundle_schema", None)
    try:
        calibration = Calibration.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path} is no calibration: {first_fault(error)}; calibrate again") from error
    if student != manifest.student_sha256:
        raise BundleError(f"{path} was made for another model; calibrate again")
    return calibration
