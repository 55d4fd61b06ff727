"""Save a trained distiller to a folder and load it: weights as safetensors, and what the runtime needs."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from understudy import files
from understudy.distill.distiller import Distiller
from understudy.distill.network import TorchNetwork
from understudy.distill.teacher import Teacher
from understudy.errors import BundleError
from understudy.methods import build, settings_for
from understudy.runtime.bundle import (
    SeenPictures,
    read_settled,
    save_rois,
    write_prototypes,
)
from understudy.runtime.decision import Prototypes
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import (
    BUNDLE_SCHEMA,
    PICTURES,
    PROTOTYPES,
    STUDENT,
    TEACHER,
    Manifest,
    TeacherCard,
    TrainingCard,
    write_manifest,
)
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import Rois
from understudy.runtime.signature import read_trusted_manifest
from understudy.types import ImageScore

__all__ = ["load_distiller", "load_trained", "save_trained", "versions"]


def save_trained(
    folder: Path,
    distiller: Distiller,
    seen: SeenPictures,
    prototypes: Prototypes,
    rois: Rois,
    *,
    method: str,
    settings: dict[str, object],
    teacher: TeacherCard,
    preprocess: Preprocess,
    training: TrainingCard,
    image_score: ImageScore = "maximum",
    journal: Path | None = None,
) -> Manifest:
    """Write a trained model to a folder; the manifest comes last, so half a model never counts as a model.

    Args:
        folder: folder of the model; created if it is missing.
        distiller: teacher and trained student.
        seen: digests of the pictures that the training has seen or held out.
        prototypes: mean embedding of each category.
        rois: masks of the pixels that count.
        method: name of the method.
        settings: settings of the method, all of them.
        teacher: name, strides and origin of the teacher.
        preprocess: how a picture becomes input.
        training: how the model was trained.
        image_score: what the scores of pictures are, as long as they are not made comparable.
        journal: file with the figures of the training, to be kept beside the model.

    Returns:
        The manifest.

    Raises:
        WorkError: the folder cannot be written, for example because the disk is full.
    """
    with files.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _save_weights(distiller.teacher.state_dict(), folder / TEACHER)
    _save_weights(distiller.learned(), folder / STUDENT)
    write_prototypes(folder, prototypes)
    names = [TEACHER, STUDENT, PROTOTYPES, PICTURES, *save_rois(folder, rois)]
    files.write_json(folder / PICTURES, seen.model_dump(mode="json"))
    if journal and journal.is_file():
        files.write_bytes(folder / journal.name, journal.read_bytes())
        names.append(journal.name)
    manifest = Manifest(
        bundle_schema=BUNDLE_SCHEMA,
        method=method,
        settings=settings,
        teacher=teacher,
        preprocess=preprocess,
        training=training,
        versions=versions(),
        files={name: files.sha256_of(folder / name) for name in names},
        image_score=image_score,
    )
    write_manifest(folder, manifest)
    return manifest


def load_trained(
    folder: Path,
    device: torch.device,
    *,
    calibrated: bool = True,
    require_signature: str | Path | None = None,
) -> tuple[Distiller, Inspector]:
    """Load a trained model: its distiller, and an inspector that judges pictures with it.

    Args:
        folder: folder of the model.
        device: device to score on.
        calibrated: whether to read its thresholds; ``False`` ignores them, damaged ones too.
        require_signature: file of a public key (PEM) that the model must be signed with.

    Raises:
        BundleError: the folder holds no trained model, or the model is exported, incomplete, altered, of a
            newer version, or not signed as required.
    """

    def read() -> tuple[Distiller, Inspector]:
        manifest = read_trusted_manifest(folder, require_signature, calibrated=calibrated)
        distiller = load_distiller(folder, manifest)
        network = TorchNetwork(distiller, device)
        return distiller, Inspector.around(network, folder, manifest, calibrated=calibrated)

    return read_settled(folder, read)


def load_distiller(folder: Path, manifest: Manifest) -> Distiller:
    """Load teacher and student of a trained model, on the processor and in eval mode.

    Args:
        folder: folder of the model.
        manifest: its manifest.

    Raises:
        BundleError: the model is exported, or its weights do not fit the manifest.
    """
    if manifest.graph:
        raise BundleError(
            f"{folder} is an exported model, which holds no weights to train or export; name the folder of "
            "the model that it was made of"
        )
    card = manifest.teacher
    teacher = Teacher(card.name, card.strides, manifest.preprocess.image_size, card.blocks)
    _load_weights(teacher.load_state_dict, folder / TEACHER)
    distiller = build(manifest.method, teacher, settings_for(manifest.method, manifest.settings))
    _load_weights(distiller.load_learned, folder / STUDENT)
    return distiller.eval()


def versions() -> dict[str, str]:
    """Package -> installed version, for Python and every package that figures depend on."""
    names = ("understudy", "torch", "timm", "lightning", "numpy", "pillow")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def _save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    files.write_bytes(path, save({key: value.detach().cpu().contiguous() for key, value in weights.items()}))


def _load_weights(take: Callable[[dict[str, Tensor]], object], path: Path) -> None:
    try:
        take(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{path} does not fit its manifest: {reason}") from error
