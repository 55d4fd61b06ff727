"""The program without its kernels: slower, and the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from understudy import METHODS, fit

ROOT = Path(__file__).parents[2]
CORE = ["tests/distill/test_distiller.py"]
CORE += [
    f"tests/methods/test_{name}.py" for name in ("methods", "methods_valid", "dskd", "rd", "snl", "stpm")
]
ACCELERATED = ("stpm", "rd", "snl-fd", "snl-rd", "dskd")  # no kernel takes part in the equations of others
LEFT_OUT = ("graph", "timm", "constant", *(name for name in METHODS if name not in ACCELERATED))
CORE += ["-k", " and ".join(f"not {name}" for name in LEFT_OUT)]

RUN_CORE = """
import sys
import pytest
failed = pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]])
from understudy.distill import acceleration
sys.exit(failed or bool(acceleration._kernels))
"""

OPTIONS = {"method": "snl-rd", "categories": ["nut"], "image_size": 64, "max_steps": 4, "strides": [8, 16]}
# At the recipe's own learning rate a few steps make rounding ten thousand times as large.
OPTIONS |= {"lr": 1e-5, "precision": "32", "device": "cpu", "progress": False}

FIT = """
import json, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("understudy.kernels"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refused())
from understudy import fit
data, out, options = sys.argv[1:]
model = fit(data, out, **json.loads(options))
assert "understudy.kernels" not in sys.modules
print(model.manifest.training.loss)
print(json.dumps({str(result.path): result.score for result in model.predict(data + "/nut/test")}))
"""


def run(program: str, *args: str, **variables: str) -> str:
    """Run a program in a process of its own, and give what it printed."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_core_of_the_tests_passes_with_the_kernels_switched_off() -> None:
    said = run(RUN_CORE, *CORE, UNDERSTUDY_KERNELS="off")
    assert "passed" in said
    assert "skipped" not in said


def test_a_model_is_trained_and_scores_the_same_where_there_are_no_kernels(
    factory: Path, tmp_path: Path
) -> None:
    model = fit(factory, tmp_path / "with", **OPTIONS)
    scores = {str(result.path): result.score for result in model.predict(factory / "nut" / "test")}
    loss, found = run(FIT, str(factory), str(tmp_path / "without"), json.dumps(OPTIONS)).splitlines()[-2:]
    assert len(scores) == 5
    assert float(loss) == pytest.approx(model.manifest.training.loss, rel=1e-5)
    assert json.loads(found) == pytest.approx(scores, rel=1e-4, abs=1e-3)
