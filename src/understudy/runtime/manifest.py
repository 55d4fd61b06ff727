"""The manifest of a saved model: what the model is, and the hash of every file that decides.

::

    manifest.json         what the model is and how it was made; hash of every other file
    teacher.safetensors   levels of the frozen teacher
    student.safetensors   what was learned: the student, and the scales of fused maps
    prototypes.json       mean embedding of each category, to recognise it
    usual.npz             what is usual in the maps of each category; absent if a score is a map's maximum
    roi.json              which mask of valid pixels belongs to which category; the masks are roi*.png
    pictures.json         digests of the pictures trained on, validated with and held out
    calibration.json      thresholds and limits; may be absent
    training.jsonl        figures of the training, step by step
    signature.json        who vouches for the manifest; may be absent

An exported model has ``model.onnx``, or ``model.xml`` and ``model.bin``, in place of the safetensors files.
:mod:`understudy.runtime.bundle` reads and writes the other files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from understudy.errors import BundleError, InputError
from understudy.files import sha256_of
from understudy.folders import (
    STATE,
    TRAINING,
    changed_files,
    finish,
    foreign_files,
    read_sealed,
    write_sealed,
)
from understudy.runtime.preprocess import Preprocess
from understudy.types import GraphFormat, GraphPrecision, ImageScore

__all__ = [
    "BUNDLE_SCHEMA",
    "CALIBRATION",
    "MANIFEST",
    "GraphCard",
    "Manifest",
    "ParityCard",
    "TeacherCard",
    "TrainingCard",
    "check_schema",
    "first_fault",
    "holds_graph",
    "holds_model",
    "is_ours",
    "list_all",
    "read_json",
    "read_manifest",
    "refuse_changed",
    "write_manifest",
]


BUNDLE_SCHEMA = 9
_FIRST_SCHEMA = 4  # without calibration.json in ``files``; still read
MANIFEST, CALIBRATION = "manifest.json", "calibration.json"
PICTURES, PROTOTYPES, ROIS = "pictures.json", "prototypes.json", "roi.json"
STUDENT, TEACHER, USUAL = "student.safetensors", "teacher.safetensors", "usual.npz"


_NAMES = {MANIFEST, CALIBRATION, PICTURES, PROTOTYPES, ROIS, STUDENT, TEACHER, USUAL, STATE[1]}
_NAMES |= {"model.onnx", "model.xml", "model.bin"}
_ROI = re.compile(r"roi(-\d+)?\.png")


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
        blocks: blocks of a transformer whose mean is a level, counted from 0, for each level; ``None`` if the
            levels are those that timm states, as in models of formats below 7.
    """

    name: str
    strides: tuple[int, ...]
    origin: str
    sha256: str
    blocks: tuple[tuple[int, ...], ...] | None = None


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
        measured: milliseconds of layers like the student's in each precision, which chose ``precision``;
            ``None`` if that was asked for, and in models of formats below 8.
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
    measured: dict[str, float] | None = None


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
        image_score: what the score of a picture is; see :class:`understudy.types.Result`.
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
    image_score: ImageScore = "maximum"
    graph: GraphCard | None = None

    @property
    def student_sha256(self) -> str:
        """Hash of the student, the same in trained and exported form. Thresholds belong to one student."""
        return self.graph.student_sha256 if self.graph else self.files[STUDENT]


def holds_model(folder: Path) -> bool:
    """Tell whether a folder holds a finished model."""
    finish(folder, MANIFEST)
    return (folder / MANIFEST).is_file()


def holds_graph(folder: Path) -> bool:
    """Tell whether a folder holds an exported model, which needs no torch. Checks no hashes."""
    return holds_model(folder) and bool(read_json(folder / MANIFEST).get("graph"))


def is_ours(folder: Path) -> bool:
    """Whether this program wrote the model, finished or not, that a folder holds.

    A manifest counts only with its own hash, so a foreign ``manifest.json`` never names files to remove.
    """
    finish(folder, MANIFEST)
    begun = (folder / TRAINING).is_dir() and not any(foreign_files(folder, below=folder / TRAINING))
    return begun or read_sealed(folder / MANIFEST) is not None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest, with a hash of itself. Call it last: a folder with a manifest is a complete model."""
    write_sealed(folder / MANIFEST, manifest.model_dump(mode="json"))


def refuse_changed(folder: Path) -> None:
    """Check that no file of the user would be lost if the model in a folder were replaced.

    Raises:
        InputError: a file of the model was changed since, or a file of the user has a name of a model's file.
    """
    if changed := next(changed_files(folder, MANIFEST), None):
        raise InputError(
            f"{folder / changed} was changed since understudy wrote it, and that must not be lost; "
            "move it away, or choose another --out"
        )
    sealed = read_sealed(folder / MANIFEST) or {}
    ours = {*sealed.get("files", {}), *((MANIFEST,) if sealed else ())}
    if sealed.get("bundle_schema") == _FIRST_SCHEMA:
        ours |= {CALIBRATION, STATE[1]}
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if taken := min((n for n in found - ours if n in _NAMES or _ROI.fullmatch(n)), default=None):
        raise InputError(
            f"{folder / taken} has the name of a model's file and is none of understudy's; move it away, or "
            "choose another --out"
        )


def list_all(folder: Path) -> None:
    """Put the calibration and the journal of a model of the first edition on its list, which left them out.

    Call it before such a model is written anew or calibrated again.
    """
    content = read_sealed(folder / MANIFEST)
    if content and content.get("bundle_schema") == _FIRST_SCHEMA:
        unlisted = {n: sha256_of(folder / n) for n in (CALIBRATION, STATE[1]) if (folder / n).is_file()}
        listed = {**content["files"], **unlisted}
        write_sealed(folder / MANIFEST, {**content, "bundle_schema": BUNDLE_SCHEMA, "files": listed})


def read_manifest(folder: Path, *, calibrated: bool = True) -> Manifest:
    """Read the manifest of a model; check its hash and the hash of every file that it names.

    Args:
        folder: folder of the model.
        calibrated: also check the calibration; ``False`` if that file may be damaged or missing.

    Raises:
        BundleError: the folder holds no model, or the model is incomplete, altered or of another version.
    """
    path = folder / MANIFEST
    if not holds_model(folder):
        unfinished = (folder / TRAINING).is_dir()
        hint = "its training is unfinished; go on with fit --resume" if unfinished else "name a model"
        raise BundleError(f"{folder} holds no trained model: {hint}")
    content = read_json(path)
    check_schema(content, f"{folder} is a model", "train it again")
    if read_sealed(path) is None:
        raise BundleError(f"{path} was altered after it was written; take the model from its source")
    content.pop("seal")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise BundleError(f"{path} is no manifest of this version: {first_fault(error)}") from error
    _check_names(path, manifest)
    for name, expected in manifest.files.items():
        if name != CALIBRATION or calibrated:
            _check_file(folder / name, expected)
    is_listed = CALIBRATION in manifest.files or manifest.bundle_schema == _FIRST_SCHEMA
    if calibrated and not is_listed and (folder / CALIBRATION).exists():
        raise BundleError(f"{folder / CALIBRATION} does not belong to this model; move it away")
    return manifest


def _check_names(path: Path, manifest: Manifest) -> None:
    """Check that a manifest covers every file that decides, and names files of its own folder only."""
    graph = Path(manifest.graph.file) if manifest.graph else None
    weights = [STUDENT, TEACHER] if graph is None else [graph.name]
    if graph and graph.suffix == ".xml":
        weights.append(graph.with_suffix(".bin").name)
    usual = [USUAL] if manifest.image_score == "comparable" else []
    missing = {PICTURES, PROTOTYPES, ROIS, *weights, *usual} - set(manifest.files)
    if missing or (graph and str(graph) != graph.name):
        raise BundleError(f"{path} does not cover {min(missing, default=graph)}; export or train it again")
    for name in manifest.files:
        if Path(name).name != name:
            raise BundleError(f"{path} names {name!r}, which is no file of this folder; train it again")


def _check_file(path: Path, expected: str) -> None:
    way_out = "calibrate again" if path.name == CALIBRATION else "take the model from its source"
    if not path.is_file():
        raise BundleError(f"{path} is missing; {way_out}")
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from error
    if digest != expected:
        raise BundleError(f"{path} is damaged or altered; {way_out}")


def check_schema(content: dict[str, Any], what: str, if_older: str) -> None:
    """Check the version of the format of a file.

    Args:
        content: content of the file.
        what: the file or model, as the beginning of a sentence.
        if_older: way out for a file of an older version.

    Raises:
        BundleError: this version does not read it.
    """
    schema = content.get("bundle_schema")
    if isinstance(schema, int) and not _FIRST_SCHEMA <= schema <= BUNDLE_SCHEMA:
        way_out = "update understudy" if schema > BUNDLE_SCHEMA else if_older
        raise BundleError(f"{what} of format {schema}, this version reads {BUNDLE_SCHEMA}; {way_out}")


def read_json(path: Path, way_out: str = "take the model from its source") -> dict[str, Any]:
    """Read a file of a model, which holds a JSON object.

    Args:
        path: the file.
        way_out: advice for the user if it cannot be read.

    Raises:
        BundleError: the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}; {way_out}") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is cut short or no JSON; {way_out}") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} is no JSON object; {way_out}")
    return content


def first_fault(error: ValidationError) -> str:
    """Return the first fault that pydantic found, with its place."""
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
