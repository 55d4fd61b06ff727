"""A method and a teacher of another package are known by name in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

MODULE = """
import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import nn

from understudy.distill import Distiller, MapRecipe, Pair, Term, channel_distillation
from understudy.distill.weights import TeacherWeights
from understudy.methods import Adam, Method, Recipe


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    rank: PositiveInt = 4


class Student(nn.Module):
    sees_images = False

    def __init__(self, levels, rank):
        super().__init__()
        self.squeeze = nn.ModuleList(nn.Conv2d(level.channels, rank, 1) for level in levels)
        self.rebuild = nn.ModuleList(nn.Conv2d(rank, level.channels, 1) for level in levels)

    def forward(self, images, features):
        parts = zip(features, self.squeeze, self.rebuild)
        return [Pair(f, rebuild(squeeze(f))) for f, squeeze, rebuild in parts]


def compose(teacher, settings):
    cosine = Term("cosine", 1.0, lambda pair, shift, done: channel_distillation(pair))
    return Distiller(teacher, Student(teacher.levels, settings.rank), [cosine], MapRecipe(sigma=1.0))


FILE = Path(__file__).with_name("weights.safetensors")
METHOD = Method.of(Settings, compose, Recipe(Adam()))
TEACHER = TeacherWeights("resnet18", lambda: FILE, hashlib.sha256(FILE.read_bytes()).hexdigest())
NEITHER = 7
"""

ENTRY_POINTS = """
[understudy.methods]
squeezed = brought_parts:METHOD
broken = brought_parts:NEITHER

[understudy.teachers]
own-teacher = brought_parts:TEACHER
"""

FIT = """
import json, sys
from understudy import fit
data, out = sys.argv[1:]
model = fit(data, out, method="squeezed", teacher="own-teacher", settings={"rank": 3}, categories=["nut"],
    image_size=64, max_steps=2, device="cpu", progress=False)
print(json.dumps([result.score for result in model.predict(data + "/nut/test")]))
"""

LOAD = """
import json, sys
from understudy import InputError, load
from understudy.methods import method_named
data, out = sys.argv[1:]
model = load(out, "cpu")
for name in ("broken", "unknown"):
    try:
        method_named(name)
    except InputError as error:
        print(error)
print(json.dumps([model.manifest.method, model.manifest.teacher.model_dump(mode="json")]))
print(json.dumps([result.score for result in model.predict(data + "/nut/test")]))
"""

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in a process that has the package installed, and give the lines that it printed."""
    site = tmp_path / "site"
    info = site / "brought_parts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought-parts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "brought_parts.py").write_text(MODULE)
    save_file(timm.create_model("resnet18", pretrained=False).state_dict(), site / "weights.safetensors")

    def run(program: str, *args: object) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, args)],
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()

    return run


def test_they_train_in_one_process_and_load_in_another(run: Run, factory: Path, tmp_path: Path) -> None:
    scores = json.loads(run(FIT, factory, tmp_path / "model")[-1])
    assert len(scores) == 5
    broken, unknown, cards, again = run(LOAD, factory, tmp_path / "model")
    assert json.loads(again) == scores
    assert "the entry point 'broken' of group understudy.methods is int, not an" in broken
    assert unknown.endswith("squeezed, broken")
    assert "there are stpm, rd, snl-fd, snl-rd, dskd, dinomaly, " in unknown
    method, teacher = json.loads(cards)
    assert method == "squeezed"
    assert (teacher["name"], teacher["origin"]) == ("resnet18.tv_in1k", "registered")
