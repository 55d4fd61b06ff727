"""Small things that many tests share. Nothing here reads pictures from outside of the project."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny inputs: threads would only wait for each other

import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from rich.console import Console
from timm.models._builder import build_model_with_cfg
from timm.models.vision_transformer import VisionTransformer

from understudy import Inspector, Model, fit
from understudy.distill import reverse
from understudy.distill.reverse import Blueprint
from understudy.distill.teacher import Teacher
from understudy.distill.weights import load_teacher
from understudy.export import job
from understudy.folders import read_sealed, write_sealed
from understudy.lab.factory.write import FactoryPlan, write_factory
from understudy.progress import Reporter
from understudy.runtime.bundle import SeenPictures
from understudy.runtime.manifest import BUNDLE_SCHEMA, Manifest, TeacherCard, TrainingCard
from understudy.runtime.scoring import Scorer

QUICK = {"image_size": 64, "max_steps": 6, "batch_size": 4, "precision": "32", "device": "cpu"}
TINY = {**QUICK, "strides": (8, 16)}
THREADS = torch.get_num_threads()


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four categories: six good pictures to learn from, two good ones and a defect of each kind to test."""
    root = tmp_path_factory.mktemp("factory")
    write_factory(root, FactoryPlan(train=6, good=2, each_defect=1, size=64))
    return root


@pytest.fixture(scope="session")
def embedded() -> Teacher:
    """The embedded teacher with its real weights."""
    teacher, _, _ = load_teacher("tf_efficientnet_lite0", (8, 16, 32))
    return teacher


@pytest.fixture(scope="session")
def teacher_of(embedded: Teacher) -> Callable[[str], Teacher]:
    """Choose a teacher for a method: the embedded one, or a tiny transformer where no other will do."""
    transformer = Teacher("test_vit", (16, 16), 64)
    return lambda method: transformer if method == "dinomaly" else embedded


@timm.models.register_model
def tiny_dinov2(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """A DINOv2 of 12 blocks and 32 channels with two register tokens; cells of 14 pixels."""
    shape = {"patch_size": 14, "embed_dim": 32, "depth": 12, "num_heads": 2, "init_values": 0.3}
    options["pretrained_cfg"] = {"num_classes": 1000, "classifier": "head", "first_conv": "patch_embed.proj"}
    made: VisionTransformer = build_model_with_cfg(
        VisionTransformer,
        "tiny_dinov2",
        pretrained,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **{**shape, "img_size": 70, "reg_tokens": 2, "no_embed_class": True, **options},
    )
    return made


@pytest.fixture(scope="session")
def model_folder(factory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of all four categories, trained for a few steps; not to be changed."""
    out = tmp_path_factory.mktemp("model") / "model"
    fit(factory, out=out, holdout=0.34, false_alarm_rate=0.15, progress=False, **TINY)
    return out


@pytest.fixture(scope="session")
def said() -> list[str]:
    """Filled by :func:`exported` with the lines that the run said."""
    return []


@pytest.fixture(scope="session")
def exported(
    model_folder: Path, factory: Path, said: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same as ONNX, compared on the pictures that it knows; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "model"
    Model.load(model_folder, "cpu").export(out, data=factory, progress=Reporter(say=said.append))
    return out


@pytest.fixture
def written(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting the saved model takes the graph that is there, since writing one takes long."""
    monkeypatch.setattr(
        job, "write_onnx", lambda distiller, path, side, valid: shutil.copyfile(exported / "model.onnx", path)
    )


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reverse students have every kind of block and few of them; exporting takes long for many."""
    monkeypatch.setattr(reverse, "_DERIVED", Blueprint(0.5, 1, (1, 2, 1)))


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    """The saved model, loaded; not to be changed."""
    return Model.load(model_folder, "cpu")


@pytest.fixture(scope="session")
def uncalibrate() -> Callable[[Path], Path]:
    """Turn a model, which a test has copied, into one that never was calibrated."""

    def strip(folder: Path) -> Path:
        content = read_sealed(folder / "manifest.json")
        assert content is not None
        del content["files"]["calibration.json"]
        write_sealed(folder / "manifest.json", content)
        (folder / "calibration.json").unlink()
        return folder

    return strip


@pytest.fixture(scope="session")
def inspector_of() -> Callable[..., Inspector]:
    """Make an Inspector around a scorer, such as one with a network of a test's own."""

    def make(
        scorer: Scorer, categories: Sequence[str] = ("nut",), folder: Path = Path("no folder")
    ) -> Inspector:
        training = TrainingCard(
            seed=0,
            steps=1,
            batch_size=1,
            optimiser={},
            precision="32",
            device="cpu",
            seconds=0.0,
            loss=None,
            kept_step=1,
            layout="none",
            categories=dict.fromkeys(categories, 1),
            validation=0,
            held_out=0,
            holdout_share=0.0,
        )
        manifest = Manifest(
            bundle_schema=BUNDLE_SCHEMA,
            method="none",
            settings={},
            teacher=TeacherCard(name="none", strides=(8,), origin="test", sha256="0"),
            preprocess=scorer.preprocess,
            training=training,
            versions={},
            files={"student.safetensors": "0"},
        )
        return Inspector(scorer, manifest, SeenPictures(trained=[], validation=[], held_out=[]), folder)

    return make


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)  # a test before may have asked for more, and slow all that follow


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal shows of stderr."""
    shown = io.StringIO()

    def console(**options: Any) -> Console:
        assert options.pop("stderr") is True
        return Console(**options, file=shown, force_terminal=True, width=100)

    monkeypatch.setattr("rich.console.Console", console)
    return shown
