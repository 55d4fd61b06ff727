"""A saved model is a folder: a sealed manifest, weights as safetensors, thresholds beside them.

::

    manifest.json         what the model is and how it came about; names every file's hash
    teacher.safetensors   the frozen teacher's levels
    student.safetensors   what was learned: the student, and the scales of fused maps
    prototypes.json       mean embedding of each category, by which it is recognised
    roi.json              which mask tells what counts in which category's pictures; the masks are roi*.png
    pictures.json         digests of the pictures trained on, validated with and held out
    calibration.json      thresholds and limits; may be absent, and may be changed without touching the rest

An exported one has ``model.onnx``, or ``model.xml`` and ``model.bin``, in the place of weights.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from understudy.errors import BundleError
from understudy.files import sha256_of, write_json, writing
from understudy.runtime.decision import Calibration, Prototypes
from understudy.runtime.images import read_mask
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois
from understudy.types import GraphFormat, GraphPrecision

__all__ = [
    "BUNDLE_SCHEMA",
    "GraphCard",
    "Manifest",
    "ParityCard",
    "SeenPictures",
    "TeacherCard",
    "TrainingCard",
    "clear",
    "holds_graph",
    "holds_model",
    "load_rois",
    "read_calibration",
    "read_manifest",
    "read_pictures",
    "read_prototypes",
    "save_rois",
    "write_calibration",
    "write_manifest",
    "write_prototypes",
]


BUNDLE_SCHEMA = 4
MANIFEST, CALIBRATION = "manifest.json", "calibration.json"
PICTURES, PROTOTYPES, ROIS = "pictures.json", "prototypes.json", "roi.json"
STUDENT = "student.safetensors"
_DECIMALS = 8  # of a prototype: as fine as float32 numbers near one


class _Card(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TeacherCard(_Card):
    """Which teacher: timm name, strides of its levels, where its weights came from."""

    name: str
    strides: tuple[int, ...]
    origin: str
    sha256: str


class TrainingCard(_Card):
    """How a model came about: ``categories`` counts pictures learned from, ``kept_step`` made the student."""

    seed: int
    steps: int
    batch_size: int
    optimiser: dict[str, Any]
    precision: str
    device: str
    seconds: float
    loss: float | None
    kept_step: int
    layout: str
    categories: dict[str, int]
    validation: int
    held_out: int
    holdout_share: float
    recipe: str | None = None
    sampling: str = "natural"
    statistics: str = "running"
    averaging: float = 0.0


class ParityCard(_Card):
    """How closely a graph follows the model that it was made of, on the same windows.

    Attributes:
        runtime: that ran the graph, with its version.
        source: where the windows come from, in words.
        windows: compared.
        map_error: largest absolute difference of a map's pixel.
        map_error_relative: the same, as a share of the maps' range.
        score_error: largest absolute difference of a score.
        score_error_relative: the same, as a share of the maps' range.
        rank_correlation: Spearman's, of the scores; ``None`` where they are all the same.
        verdicts: windows judged alike by both, and not; ``None`` while the model is not calibrated.
        at_threshold: windows left out there: an error that float32 is allowed could change their verdict.
    """

    runtime: str
    source: str
    windows: int
    map_error: float
    map_error_relative: float
    score_error: float
    score_error_relative: float
    rank_correlation: float | None
    verdicts: tuple[int, int] | None
    at_threshold: int


class GraphCard(_Card):
    """What the graph of an exported model is.

    Attributes:
        format: of its file.
        file: name of the graph's file; an OpenVINO graph has its weights beside it.
        precision: that it is computed in; in int8 the student's convolutions alone.
        opset: of ONNX, which it is written in or was converted from.
        care: whether the graph takes a mask of the valid pixels, its input of that name.
        student_sha256: hash of the student that it was made of.
        parity: how closely it follows that model; ``None`` only while that is measured.
    """

    format: GraphFormat
    file: str
    precision: GraphPrecision
    opset: int
    care: bool
    student_sha256: str
    parity: ParityCard | None


class Manifest(_Card):
    """What a saved model is; ``graph`` is for an exported one."""

    bundle_schema: int
    method: str
    settings: dict[str, Any]
    teacher: TeacherCard
    preprocess: Preprocess
    training: TrainingCard
    versions: dict[str, str]
    files: dict[str, str]
    graph: GraphCard | None = None

    @property
    def student_sha256(self) -> str:
        """Hash of the student: what thresholds belong to, in whatever form the model is saved."""
        return self.graph.student_sha256 if self.graph else self.files[STUDENT]


class SeenPictures(_Card):
    """Digests of the pictures that a model has learned from or looked at, and of those kept from it."""

    trained: list[str]
    validation: list[str]
    held_out: list[str]


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a finished model."""
    return (folder / MANIFEST).is_file()


def holds_graph(folder: Path) -> bool:
    """Whether a folder holds an exported model, which needs no torch; unchecked."""
    return holds_model(folder) and bool(_read_json(folder / MANIFEST).get("graph"))


def clear(folder: Path) -> None:
    """Take a model away, whole or not: manifest, thresholds and every file that the manifest names."""
    try:
        named = list(_read_json(folder / MANIFEST).get("files", {}))
    except BundleError:
        named = []
    for name in (MANIFEST, CALIBRATION, *named):
        (folder / Path(name).name).unlink(missing_ok=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Seal and write a manifest; do it last, for its presence means that the model is whole."""
    content = manifest.model_dump(mode="json")
    write_json(folder / MANIFEST, {**content, "seal": _seal(content)})


def read_manifest(folder: Path) -> Manifest:
    """Read a saved model's manifest and check its seal and every file that it names.

    Raises:
        BundleError: no model is there, or it is incomplete, altered or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = (folder / "training").is_dir()
        hint = "its training is unfinished; go on with fit --resume" if unfinished else "name a model"
        raise BundleError(f"{folder} holds no trained model: {hint}")
    content = _read_json(path)
    _check_schema(content, f"{folder} is a model", "train it again")
    if content.pop("seal", None) != _seal(content):
        raise BundleError(f"{path} was altered after it was written; take the model from its source")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path} is no manifest of this version: {_first(error)}") from error
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise BundleError(f"{file} is missing; take the model from its source")
        if sha256_of(file) != expected:
            raise BundleError(f"{file} is damaged or altered; take the model from its source")
    return manifest


def read_pictures(folder: Path) -> SeenPictures:
    """Read which pictures a model was trained on; checked with the manifest."""
    return SeenPictures.model_validate(_read_json(folder / PICTURES))


def write_prototypes(folder: Path, prototypes: Prototypes) -> None:
    """Write the prototypes of a model, before its manifest."""
    rows = {name: [round(float(x), _DECIMALS) for x in row] for name, row in prototypes.items()}
    write_json(folder / PROTOTYPES, rows)


def read_prototypes(folder: Path) -> Prototypes:
    """Read the prototypes of a model; checked with the manifest."""
    rows = _read_json(folder / PROTOTYPES)
    return {name: np.asarray(row, np.float32) for name, row in rows.items()}


def save_rois(folder: Path, rois: Rois) -> list[str]:
    """Write the regions of interest of a model, before its manifest; the names of the files."""
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


def load_rois(folder: Path) -> Rois:
    """Read the regions of interest of a model; checked with the manifest."""
    named = _read_json(folder / ROIS)
    overall = named["overall"] and read_mask(folder / named["overall"])
    return Rois(overall, {name: read_mask(folder / file) for name, file in named["categories"].items()})


def write_calibration(folder: Path, manifest: Manifest, calibration: Calibration) -> None:
    """Write what calibrating has set beside a model, with the format and the student it is for."""
    head = {"bundle_schema": BUNDLE_SCHEMA, "student_sha256": manifest.student_sha256}
    write_json(folder / CALIBRATION, head | calibration.model_dump(mode="json"))


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """What calibrating a model has set, ``None`` while it is not calibrated.

    Raises:
        BundleError: the file is damaged, of another version, or was made for another model.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    content = _read_json(path, "calibrate again")
    _check_schema(content, f"{path} is a calibration", "calibrate again")
    student = content.pop("student_sha256", None)
    content.pop("bundle_schema", None)
    try:
        calibration = Calibration.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path} is no calibration: {_first(error)}; calibrate again") from error
    if student != manifest.student_sha256:
        raise BundleError(f"{path} was made for another model; calibrate again")
    return calibration


def _check_schema(content: dict[str, Any], what: str, if_older: str) -> None:
    schema = content.get("bundle_schema")
    if isinstance(schema, int) and schema != BUNDLE_SCHEMA:
        way_out = "update understudy" if schema > BUNDLE_SCHEMA else if_older
        raise BundleError(f"{what} of format {schema}, this version reads {BUNDLE_SCHEMA}; {way_out}")


def _read_json(path: Path, way_out: str = "take the model from its source") -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} is cut short or no JSON; {way_out}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} is no JSON object; {way_out}")
    return content


def _seal(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _first(error: ValidationError) -> str:
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
