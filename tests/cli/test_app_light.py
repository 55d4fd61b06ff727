"""Without torch: what is light imports, tells its help, scores and calibrates all the same."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import understudy.runtime
from understudy import Inspector
from understudy.runtime.bundle import read_calibration
from understudy.runtime.manifest import read_manifest

LEFT_OUT = (
    *("torch", "torchvision", "torchmetrics", "timm", "lightning", "safetensors", "huggingface_hub"),
    *("scipy", "jinja2", "psutil", "onnx", "onnxscript", "openvino", "pyarrow", "cryptography"),
)
WITHOUT = f"""
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {LEFT_OUT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
LIGHT = [
    "understudy",
    *(f"understudy.runtime.{module.name}" for module in pkgutil.iter_modules(understudy.runtime.__path__)),
    *("understudy.data.layouts", "understudy.data.inspect", "understudy.calibrate", "understudy.cli"),
]


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code where nothing of training can be imported."""
    command = [sys.executable, "-c", WITHOUT + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def command_line(*arguments: object) -> subprocess.CompletedProcess[str]:
    return python("import understudy.cli; sys.exit(understudy.cli.main())", *arguments)


def test_what_is_left_out_cannot_be_imported() -> None:
    done = python("import torch")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "ModuleNotFoundError: No module named 'torch'",
    )


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_is_imported_alone(module: str) -> None:
    done = python(f"import {module}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "verb", ["", "fit", "calibrate", "evaluate", "predict", "diagnose", "export", "reproduce", "doctor"]
)
def test_every_verb_tells_its_help(verb: str) -> None:
    done = command_line(*verb.split(), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: understudy" in done.stdout


def test_an_exported_model_predicts_as_it_does_elsewhere(exported: Path, factory: Path) -> None:
    pictures = factory / "nut" / "test"
    done = command_line("predict", exported, pictures)
    assert (done.returncode, done.stderr.splitlines()) == (0, ["5 pictures scored, 0 unreadable"])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row, here in zip(rows, Inspector.load(exported).predict(pictures), strict=True):
        assert (row["path"], row["verdict"], row["category"]) == (str(here.path), here.verdict, here.category)
        assert row["score"] == pytest.approx(here.score, rel=1e-5)


def test_an_exported_model_is_opened_and_calibrated(
    exported_copy: Path, factory: Path, uncalibrate: Callable[[Path], Path]
) -> None:
    code = "import understudy; print(type(understudy.load(sys.argv[1])).__name__)"
    assert python(code, exported_copy).stdout == "Inspector\n"
    uncalibrate(exported_copy)
    done = command_line("calibrate", exported_copy, factory, "--false-alarm-rate", 0.15)
    assert done.returncode == 0, done.stderr
    calibration = read_calibration(exported_copy, read_manifest(exported_copy))
    assert calibration is not None
    assert calibration.thresholds.false_alarm_rate == 0.15


@pytest.mark.parametrize(
    "asked",
    [
        ("fit", "DATA", "--out", "OUT"),
        ("evaluate", "EXPORTED", "DATA", "--out", "OUT"),
        ("predict", "MODEL", "DATA"),
        ("export", "MODEL", "--out", "OUT"),
        ("reproduce", "stpm", "--data", "DATA", "--out", "OUT"),
    ],
    ids=lambda asked: asked[0],
)
def test_what_needs_torch_says_in_one_line_what_to_install(
    asked: tuple[str, ...], exported: Path, model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    places = {"DATA": factory, "OUT": tmp_path / "out", "MODEL": model_folder, "EXPORTED": exported}
    done = command_line(*(places.get(word, word) for word in asked))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "needs more than the light runtime: pip install 'understudy[train]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_name_that_needs_torch_says_so_and_a_name_that_is_none_is_an_attribute_error() -> None:
    asked = (
        "import understudy\ntry:\n    understudy.{}\nexcept Exception as e:\n    print(type(e).__name__, e)"
    )
    for name in ("fit", "Model", "register_method", "reproduce"):
        said = python(asked.format(name)).stdout
        assert said.startswith("InputError understudy.")
        assert "pip install 'understudy[train]'" in said
    assert python(asked.format("fitt")).stdout.startswith("AttributeError")
