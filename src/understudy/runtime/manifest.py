"""The folder of a saved model: its files, how they are written, read and checked.

::

    manifest.json         what the model is and how it was made; hash of every file but calibration.json
    teacher.safetensors   levels of the frozen teacher
    student.safetensors   what was learned: the student, and the scales of fused maps
    prototypes.json       mean embedding of each category, to recognise it
    roi.json              which mask of valid pixels belongs to which category; the masks are roi*.png
    pictures.json         digests of the pictures trained on, validated with and held out
    calibration.json      thresholds and limits; may be absent, and may change without touching the rest

An exported model has ``model.onnx``, or ``model.xml`` and ``model.bin``, in place of the safetensors files.
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
    "is_ours",
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
TRAINING = ".understudy-training"  # subfolder with the state of an unfinished training
_DECIMALS = 8  # of a prototype; as fine as float32 near 1


class _Card(BaseModel):
    """Part of a manifest: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TeacherCard(_Card):
    """Which teacher a model has.

    Attributes:
        name: timm name.
        strides: input pixels per feature cell of each level, finest level first.
        origin: where the weights came from, in words.
        sha256: hash of the weights, in hexadecimal.
    """

    name: str
    strides: tuple[int, ...]
    origin: str
    sha256: str


class TrainingCard(_Card):
    """How a model was trained.

    Attributes:
        seed: random seed.
        steps: number of optimiser steps.
        batch_size: pictures per step.
        optimiser: name, learning rate, schedule and further settings of the optimiser.
        precision: of the forward and backward pass, ``32`` or ``bf16``.
        device: device that trained it, such as ``cpu`` or ``cuda``.
        seconds: duration of the training in seconds, without pauses between a stop and a resume.
        loss: last loss that was logged; ``None`` if no step was logged.
        kept_step: step whose student was kept, from 1 to ``steps``.
        layout: layout of the training data, in words.
        categories: number of good pictures learned from, by category.
        validation: number of validation pictures.
        held_out: number of held-out pictures.
        holdout_share: share of the good pictures that was to be held out, in [0, 1).
        recipe: name of the recipe; ``None`` in models of older versions.
        sampling: ``natural`` or ``balanced``.
        statistics: statistics of batch normalisation, ``running`` or ``recomputed``.
        averaging: decay of the mean of the weights that was kept, in [0, 1); 0 for the last weights.
    """

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
    """How closely a graph follows the model that it was exported from, on the same windows.

    Attributes:
        runtime: runtime of the graph, with its version.
        source: where the windows come from, in words.
        windows: number of windows compared.
        map_error: largest absolute difference of a map value.
        map_error_relative: the same as a share of the range of the maps.
        score_error: largest absolute difference of a score.
        score_error_relative: the same as a share of the range of the maps.
        rank_correlation: Spearman's rank correlation of the scores, in [-1, 1]; ``None`` if all scores are
            equal.
        verdicts: number of windows with the same verdict from both, and with another one; ``None`` if the
            model is not calibrated.
        at_threshold: number of windows left out of ``verdicts``: their score is so near a threshold that an
            error allowed for float32 could change the verdict.
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
        format: format of the file, ``onnx`` or ``openvino``.
        file: name of the graph's file; an OpenVINO graph has its weights beside it.
        precision: precision of the computation; for int8, only the student's convolutions are in int8.
        opset: ONNX opset of the graph, or of the ONNX graph that it was converted from.
        care: whether the graph takes the valid mask, as its input ``care``.
        student_sha256: hash of the student that the graph was exported from.
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
    """What a saved model is and how it was made.

    Attributes:
        bundle_schema: version of the format.
        method: name of the method, such as ``snl-rd``.
        settings: settings of the method.
        teacher: which teacher it has.
        preprocess: how a picture becomes the network's input.
        training: how it was trained.
        versions: versions of the packages that trained it, by name.
        files: SHA-256 of the model's files, by file name.
        graph: the exported graph; ``None`` for a trained model.
    """

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
        """Hash of the student, the same in trained and exported form. Thresholds belong to one student."""
        return self.graph.student_sha256 if self.graph else self.files[STUDENT]


class SeenPictures(_Card):
    """Digests of the pictures that a training used, and of those that it did not use.

    Attributes:
        trained: pictures learned from.
        validation: pictures that chose an epoch or scaled maps.
        held_out: pictures kept for the thresholds.
    """

    trained: list[str]
    validation: list[str]
    held_out: list[str]


def holds_model(folder: Path) -> bool:
    """Tell whether a folder holds a finished model."""
    return (folder / MANIFEST).is_file()


def holds_graph(folder: Path) -> bool:
    """Tell whether a folder holds an exported model, which needs no torch. Checks no hashes."""
    return holds_model(folder) and bool(_read_json(folder / MANIFEST).get("graph"))


def is_ours(folder: Path) -> bool:
    """Whether this program wrote the model, finished or not, that a folder holds.

    A manifest counts only with its own hash, so a foreign ``manifest.json`` never names files to remove.
    """
    return (folder / TRAINING).is_dir() or _sealed(folder) is not None


def clear(folder: Path) -> None:
    """Remove a model of ours and nothing else: files whose names and hashes its sealed manifest holds."""
    content = _sealed(folder)
    if content is None:
        return
    for name, digest in dict(content.get("files", {})).items():
        file = folder / Path(name).name
        if file.is_file() and sha256_of(file) == digest:
            file.unlink()
    for name in (CALIBRATION, MANIFEST):
        (folder / name).unlink(missing_ok=True)


def _sealed(folder: Path) -> dict[str, Any] | None:
    """The content of a manifest that this program wrote; ``None`` if there is none, or it was altered."""
    try:
        content = _read_json(folder / MANIFEST)
    except BundleError:
        return None
    seal = content.pop("seal", None)
    return content if seal is not None and seal == _seal(content) else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest, with a hash of itself. Call it last: a folder with a manifest is a complete model."""
    content = manifest.model_dump(mode="json")
    write_json(folder / MANIFEST, {**content, "seal": _seal(content)})


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a model; check its hash and the hash of every file that it names.

    Raises:
        BundleError: the folder holds no model, or the model is incomplete, altered or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        unfinished = (folder / TRAINING).is_dir()
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
    """Read the digests of the pictures of a training; :func:`read_manifest` checks the file."""
    return SeenPictures.model_validate(_read_json(folder / PICTURES))


def write_prototypes(folder: Path, prototypes: Prototypes) -> None:
    """Write the prototypes of a model; call it before :func:`write_manifest`."""
    rows = {name: [round(float(x), _DECIMALS) for x in row] for name, row in prototypes.items()}
    write_json(folder / PROTOTYPES, rows)


def read_prototypes(folder: Path) -> Prototypes:
    """Read the prototypes of a model; :func:`read_manifest` checks the file."""
    rows = _read_json(folder / PROTOTYPES)
    return {name: np.asarray(row, np.float32) for name, row in rows.items()}


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


def load_rois(folder: Path) -> Rois:
    """Read the regions of interest of a model; :func:`read_manifest` checks the files."""
    named = _read_json(folder / ROIS)
    overall = named["overall"] and read_mask(folder / named["overall"])
    return Rois(overall, {name: read_mask(folder / file) for name, file in named["categories"].items()})


def write_calibration(folder: Path, manifest: Manifest, calibration: Calibration) -> None:
    """Write a calibration beside a model, with the version of the format and the hash of the student."""
    head = {"bundle_schema": BUNDLE_SCHEMA, "student_sha256": manifest.student_sha256}
    write_json(folder / CALIBRATION, head | calibration.model_dump(mode="json"))


def read_calibration(folder: Path, manifest: Manifest) -> Calibration | None:
    """Read the calibration of a model; ``None`` if it is not calibrated.

    Raises:
        BundleError: the file is damaged, of another version, or made for another model.
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
