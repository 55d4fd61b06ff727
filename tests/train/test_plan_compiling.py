"""A compiled training ends as one that is not; without a compiler that is said before any work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from understudy import InputError, fit
from understudy.data.layouts import open_pictures
from understudy.data.store import PictureStore
from understudy.distill import Distiller, MapRecipe, Teacher, Term, channel_distillation, reverse_student
from understudy.methods import Sgd
from understudy.progress import Reporter
from understudy.runtime.manifest import TeacherCard
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.roi import NO_ROIS
from understudy.train.cache import cache_for
from understudy.train.loop import train
from understudy.train.plan import TrainingPlan, require_compiler

LOOK = Preprocess(image_size=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CARD = TeacherCard(name="tiny", strides=(8, 16), origin="random", sha256="0")
NAME = "test_resnet"


def learned(
    factory: Path, folder: Path, *, compiled: bool, cached: bool, steps: int = 8
) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    teacher = Teacher(NAME, (8, 16), 64)
    student = reverse_student("resnet18", teacher.levels, signed=False)
    cosine = Term("cosine", 1.0, lambda pair, shift, done: channel_distillation(pair))
    distiller = Distiller(teacher, student, [cosine], MapRecipe())
    pictures = PictureStore([r.path for r in open_pictures(factory).train()], LOOK)
    plan = TrainingPlan(steps, 6, Sgd(lr=0.05), 0, "32", torch.device("cpu"), 100, compiled)
    cache = cache_for(
        "auto" if cached else "off", distiller, CARD, LOOK, NO_ROIS, plan, 24, 2**30, Reporter()
    )
    features = cache.keep(pictures, Reporter()) if cache else None
    train(distiller, pictures, LOOK, plan, folder, description="t", features=features)
    return distiller.learned()


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="there is no C++ compiler")
@pytest.mark.parametrize("cached", [False, True])
def test_a_compiled_training_ends_as_one_that_is_not(cached: bool, factory: Path, tmp_path: Path) -> None:
    compiled = learned(factory, tmp_path / "a", compiled=True, cached=cached)
    plain = learned(factory, tmp_path / "b", compiled=False, cached=cached)
    sooner = learned(factory, tmp_path / "c", compiled=False, cached=cached, steps=6)
    assert plain.keys() == compiled.keys()
    for name, own in plain.items():
        if own.is_floating_point():
            moved = float((own - sooner[name]).norm())
            assert float((compiled[name] - own).norm()) < 0.02 * moved, name


def test_without_a_compiler_that_is_said_in_one_sentence_before_any_work(
    factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_compiler(function: object) -> object:
        def fail(*args: object) -> None:
            raise RuntimeError("No working C++ compiler found\nat length")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    expected = r"--compile cannot be used here: No working C\+\+ compiler found; it needs a C\+\+ compiler"
    with pytest.raises(InputError, match=expected):
        require_compiler(torch.device("cpu"))
    options = {"image_size": 64, "max_steps": 2, "method": "rd", "strides": (8, 16), "device": "cpu"}
    with pytest.raises(InputError, match=expected):
        fit(factory, tmp_path / "m", compile=True, **options)
    assert not list((tmp_path / "m").glob("*.safetensors"))
