"""A folder of one-class models, one a category, to compare a multi-class model with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from understudy.errors import InputError
from understudy.model import TrainedModel, load_uncalibrated
from understudy.runtime.bundle import Manifest, holds_model, read_manifest

__all__ = ["OneClassModels", "find_one_class"]


@dataclass(frozen=True)
class OneClassModels:
    """Models of one category each, as ``fit`` writes them; opened one at a time."""

    folder: Path
    manifests: dict[str, Manifest]

    def open(self, category: str, like: TrainedModel) -> TrainedModel:
        """Load one, on the device of another model."""
        return replace(load_uncalibrated(self.folder / category, "cpu"), device=like.device)


def find_one_class(folder: Path, categories: Sequence[str], like: TrainedModel) -> OneClassModels:
    """Find FOLDER/<category> of every category and check that each can be compared.

    Args:
        folder: holds the models.
        categories: those that a model is needed for.
        like: the multi-class model; teacher and image size must be the same.

    Raises:
        InputError: models are missing, were trained on something else than their category, or differ
            in teacher or image size.
        BundleError: a model is damaged.
    """
    missing = [c for c in categories if not holds_model(folder / c)]
    if missing:
        raise InputError(
            f"{folder} holds no one-class model of {', '.join(missing)}; train each with "
            f"understudy fit DATA --out {folder / missing[0]} --categories {missing[0]}"
        )
    manifests = {c: read_manifest(folder / c) for c in categories}
    for category, manifest in manifests.items():
        _check(folder / category, category, manifest, like.manifest)
    return OneClassModels(folder, manifests)


def _check(path: Path, category: str, manifest: Manifest, like: Manifest) -> None:
    trained = sorted(manifest.training.categories)
    if trained != [category]:
        raise InputError(
            f"{path} was trained on {', '.join(trained)}, not on {category} alone; "
            f"train it with --categories {category}"
        )
    if manifest.preprocess.pads:
        raise InputError(f"{path} cuts or pads its pictures; train it without --tile and --keep-aspect")
    side, wanted = manifest.preprocess.image_size, like.preprocess.image_size
    if side != wanted:
        raise InputError(
            f"{path} sees pictures of {side} pixels, the model to diagnose {wanted}; "
            f"train it with --image-size {wanted}"
        )
    own, other = manifest.teacher, like.teacher
    if (own.name, own.strides, own.sha256) != (other.name, other.strides, other.sha256):
        raise InputError(
            f"{path} has the teacher {own.name} with strides {_text(own.strides)}, the model to diagnose "
            f"{other.name} with {_text(other.strides)}; train it with the same teacher, weights and strides"
        )


def _text(strides: Sequence[int]) -> str:
    return ", ".join(map(str, strides))
