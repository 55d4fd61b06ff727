"""A trained distiller goes into a folder and comes back equal; what does not fit is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from understudy.errors import BundleError
from understudy.methods.saved import load_distiller, load_trained, versions
from understudy.runtime.manifest import read_manifest

CPU = torch.device("cpu")


def test_a_distiller_comes_back_with_the_same_weights_in_eval_mode(model_folder: Path) -> None:
    manifest = read_manifest(model_folder)
    one, two = (load_distiller(model_folder, manifest) for _ in range(2))
    saved = load_file(model_folder / "student.safetensors")
    learned = one.learned()
    assert saved.keys() == learned.keys()
    assert all(torch.equal(saved[name], learned[name]) for name in saved)
    assert not one.training
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(one(images), two(images))


def test_a_model_loads_with_or_without_its_thresholds(model_folder: Path) -> None:
    assert load_trained(model_folder, CPU)[1].calibration is not None
    assert load_trained(model_folder, CPU, calibrated=False)[1].calibration is None


def test_an_exported_model_holds_no_weights(exported: Path) -> None:
    with pytest.raises(BundleError, match="is an exported model"):
        load_trained(exported, CPU)


def test_weights_of_another_shape_are_named(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    manifest = read_manifest(folder)
    weights = load_file(folder / "student.safetensors")
    name = next(name for name, value in weights.items() if value.ndim == 4)
    save_file(weights | {name: weights[name][:1].clone()}, folder / "student.safetensors")
    with pytest.raises(BundleError, match=r"student\.safetensors does not fit its manifest"):
        load_distiller(folder, manifest)


def test_versions_name_python_and_what_figures_depend_on() -> None:
    assert {"python", "understudy", "torch", "timm", "lightning", "numpy", "pillow"} == versions().keys()
