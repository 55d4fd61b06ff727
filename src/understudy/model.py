"""A trained model: a distiller, what is known of it, and its thresholds; saved and loaded as a bundle."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from understudy.device import DeviceChoice, resolve_device
from understudy.distill.distiller import Distiller
from understudy.distill.teacher import Teacher
from understudy.errors import BundleError, PictureError
from understudy.methods import build, settings_for
from understudy.runtime import bundle
from understudy.runtime.decision import Calibration, Thresholds
from understudy.runtime.detector import Inspector, Pictures
from understudy.runtime.images import Picture
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.recognition import Prototypes
from understudy.runtime.roi import Rois, takes_care
from understudy.runtime.scoring import Scored, Scorer
from understudy.scoring import Found, TorchNetwork, score_windows
from understudy.stopwatch import Lap, untimed
from understudy.types import Prediction

__all__ = ["TrainedModel", "load", "load_uncalibrated", "save", "versions"]

TEACHER, STUDENT = "teacher.safetensors", "student.safetensors"


@dataclass(frozen=True)
class TrainedModel:
    """What :func:`understudy.fit` and :func:`understudy.load` give back.

    Attributes:
        distiller: teacher and student.
        manifest: method, settings, teacher, preprocessing, training, versions.
        pictures: digests of the pictures learned from, validated with and held out.
        prototypes: mean embedding of each category, by which it is recognised.
        rois: which pixels of each category count.
        calibration: ``None`` while the model is not calibrated.
        device: what it scores on.
    """

    distiller: Distiller
    manifest: bundle.Manifest
    pictures: bundle.Pictures
    prototypes: Prototypes
    rois: Rois
    calibration: Calibration | None
    device: torch.device

    @property
    def preprocess(self) -> Preprocess:
        """How a picture becomes input."""
        return self.manifest.preprocess

    @property
    def thresholds(self) -> Thresholds | None:
        """For a picture of any category; ``None`` while the model is not calibrated."""
        return self.calibration.thresholds if self.calibration else None

    @property
    def categories(self) -> list[str]:
        """Names of the products it was trained on, sorted."""
        return sorted(self.manifest.training.categories)

    def named(self, category: str) -> str | None:
        """See :meth:`understudy.runtime.detector.Inspector.named`."""
        return self.inspector.named(category)

    @cached_property
    def network(self) -> TorchNetwork:
        """Teacher, student and map, on the device."""
        return TorchNetwork(self.distiller, self.device)

    @property
    def takes_care(self) -> bool:
        """Whether some pixels of its windows may not count."""
        return takes_care(self.preprocess, self.rois)

    @cached_property
    def inspector(self) -> Inspector:
        """The same model as one that inspects pictures."""
        scorer = Scorer(self.network, self.preprocess, self.prototypes, self.calibration, self.rois)
        return Inspector(scorer, self.categories)

    def score(
        self,
        paths: Sequence[Path],
        batch_size: int = 8,
        categories: Sequence[str | None] | None = None,
        lap: Lap = untimed,
    ) -> Iterator[Scored | PictureError]:
        """One raw result a picture, in order; see :meth:`understudy.runtime.scoring.Scorer.score`."""
        return self.inspector.scorer.score(paths, batch_size, categories, lap)

    def score_windows(
        self, windows: Iterable[Picture | NDArray[np.float32]], batch_size: int = 8
    ) -> Iterator[Found]:
        """Score and map of each (S, S, 3) window, uint8 or float32 in [0, 1], in order."""
        return score_windows(self.network, self.preprocess, windows, batch_size)

    def predict(
        self, pictures: Pictures, batch_size: int = 8, category: str | None = None, lap: Lap = untimed
    ) -> Iterator[Prediction | PictureError]:
        """One result a picture, in order; see :meth:`understudy.runtime.detector.Inspector.inspect`."""
        return self.inspector.inspect(pictures, batch_size, category, lap)

    def recognise(self, found: Scored) -> str | None:
        """The category that a picture shows, ``None`` for a product that is like none of them."""
        return self.inspector.scorer.recognise(found.embedding)


def save(
    folder: Path,
    distiller: Distiller,
    pictures: bundle.Pictures,
    prototypes: Prototypes,
    rois: Rois,
    *,
    method: str,
    settings: dict[str, object],
    teacher: bundle.TeacherCard,
    preprocess: Preprocess,
    training: bundle.TrainingCard,
) -> bundle.Manifest:
    """Write a model to a folder; the manifest last, so that half a model is never taken for one.

    Raises:
        WorkError: the folder cannot be written (a full disk, say).
    """
    with bundle.writing(folder, "choose another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        _save_weights(distiller.teacher.state_dict(), folder / TEACHER)
        _save_weights(distiller.learned(), folder / STUDENT)
    bundle.write_prototypes(folder, prototypes)
    regions = bundle.write_rois(folder, rois)
    bundle.write_json(folder / bundle.PICTURES, pictures.model_dump(mode="json"))
    manifest = bundle.Manifest(
        bundle_schema=bundle.BUNDLE_SCHEMA,
        method=method,
        settings=settings,
        teacher=teacher,
        preprocess=preprocess,
        training=training,
        versions=versions(),
        files={
            n: bundle.sha256_of(folder / n)
            for n in (TEACHER, STUDENT, bundle.PROTOTYPES, bundle.PICTURES, *regions)
        },
    )
    bundle.write_manifest(folder, manifest)
    return manifest


def load(folder: str | Path, device: DeviceChoice = "auto") -> TrainedModel:
    """Load a saved model.

    Raises:
        BundleError: no model is there, or it is exported, incomplete, altered or of a newer version.
        InputError: the device is not there.
    """
    model = load_uncalibrated(folder, device)
    return replace(model, calibration=bundle.read_calibration(Path(folder), model.manifest))


def load_uncalibrated(folder: str | Path, device: DeviceChoice = "auto") -> TrainedModel:
    """Load a saved model without its thresholds, which may be damaged or missing; see :func:`load`."""
    folder = Path(folder)
    manifest = bundle.read_manifest(folder)
    if manifest.graph:
        raise BundleError(
            f"{folder} is an exported model, for predict and calibrate alone; name the folder of the model "
            "that it was made of"
        )
    card = manifest.teacher
    teacher = Teacher(card.name, card.strides, manifest.preprocess.image_size)
    _load_weights(teacher.load_state_dict, folder / TEACHER)
    distiller = build(manifest.method, teacher, settings_for(manifest.method, manifest.settings))
    _load_weights(distiller.load_learned, folder / STUDENT)
    pictures = bundle.read_pictures(folder)
    prototypes, rois = bundle.read_prototypes(folder), bundle.read_rois(folder)
    return TrainedModel(distiller.eval(), manifest, pictures, prototypes, rois, None, resolve_device(device))


def _save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    try:
        save_file(state, path)
    except SafetensorError as error:
        raise OSError(None, str(error)) from error


def _load_weights(take: Callable[[dict[str, Tensor]], object], path: Path) -> None:
    try:
        take(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BundleError(f"{path} does not fit its manifest: {reason}") from error


def versions() -> dict[str, str]:
    """Of Python and of what figures depend on, as installed."""
    names = ("understudy", "torch", "timm", "lightning", "numpy", "pillow")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}
