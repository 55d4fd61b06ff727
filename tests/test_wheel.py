"""The wheel without extras scores an exported model as this installation does, and stays small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from understudy import Inspector, Model, Result
from understudy.export.parity import TOLERANCE
from understudy.runtime.bundle import read_calibration
from understudy.runtime.manifest import read_manifest

pytestmark = pytest.mark.xdist_group("wheel")  # one environment for all

ROOT = Path(__file__).parent.parent
LEFT_OUT = ("torch", "torchvision", "scipy", "timm", "lightning", "safetensors", "onnx", "openvino", "pip")
HELD = ("numpy", "onnxruntime", "PIL", "pydantic", "rich", "typer", "understudy")
ROOMY = 250e6  # bytes

# Prints results as JSON; keeps maps in a file. One thread, so that sums are in the same order everywhere.
INSPECT = """
import json, sys
import numpy as np
import understudy

folder, maps, *pictures = sys.argv[1:]
inspector = understudy.Inspector.load(folder, threads=1)
found = list(inspector.predict(pictures))
np.savez(maps, *[each.anomaly_map for each in found])
print(json.dumps([[e.score, e.verdict, e.category, e.reason, e.size, e.regions] for e in found]))
"""
WHICH = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""


@dataclass(frozen=True)
class Light:
    """An environment that holds the wheel and what it requires, and nothing else."""

    folder: Path

    @property
    def programs(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    def python(self, code: str, *arguments: object) -> Any:
        """Run code and parse the JSON that it prints."""
        done = subprocess.run(
            [self.programs / "python", "-I", "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def understudy(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the command line, out of reach of this checkout."""
        command = [self.programs / "understudy", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=_own_environment(), cwd=self.folder
        )


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_own_environment())
    if done.returncode and "connection broken by" in done.stderr:
        pytest.skip("no package registry can be reached: the wheel is not installed")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    place = tmp_path_factory.mktemp("light")
    pip("wheel", "--no-deps", "--wheel-dir", place, ROOT)
    (wheel,) = place.glob("understudy-*.whl")
    made = Light(place / "environment")
    venv.create(made.folder, with_pip=False)
    pip("--python", made.programs / "python", "install", "-c", ROOT / "constraints.txt", wheel)
    return made


@pytest.fixture
def pictures(factory: Path, tmp_path: Path) -> list[Path]:
    """Test pictures of two products, and one of them in other sizes and modes."""
    odd = tmp_path / "odd"
    odd.mkdir()
    base = Image.open(factory / "nut" / "test" / "good" / "000.png")
    base.resize((300, 40)).save(odd / "wide.png")
    base.convert("LA").save(odd / "transparent.png")
    Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16)).save(odd / "deep.png")
    return [factory / "nut" / "test", factory / "linen" / "test", odd]


def predictions(results: Any) -> list[Result]:
    found = list(results)
    assert all(each.ok for each in found)
    assert len(found) == 13
    return found


def test_nothing_of_training_is_installed_with_it(light: Light) -> None:
    assert light.python(WHICH, *LEFT_OUT, *HELD) == list(HELD)


def test_all_that_is_installed_takes_less_than_a_quarter_of_a_gigabyte(light: Light) -> None:
    taken = sum(path.lstat().st_size for path in light.folder.rglob("*") if path.is_file())
    assert 10e6 < taken < ROOMY


def test_it_gives_exactly_what_this_installation_gives(
    light: Light, exported: Path, pictures: list[Path], tmp_path: Path
) -> None:
    told = light.python(INSPECT, exported, tmp_path / "maps.npz", *pictures)
    here = predictions(Inspector.load(exported, threads=1).predict(pictures))
    ours = [[e.score, e.verdict, e.category, e.reason, e.size, e.regions] for e in here]
    assert told == json.loads(json.dumps(ours))
    assert {verdict for _, verdict, *_ in told} - {"PASS"}  # else there were no regions to compare
    with np.load(tmp_path / "maps.npz") as maps:
        for each, name in zip(here, maps.files, strict=True):
            assert np.array_equal(maps[name], each.anomaly_map)


def test_it_gives_what_torch_gives_within_the_tolerance_of_an_export(
    light: Light, exported: Path, model: Model, pictures: list[Path], tmp_path: Path
) -> None:
    told = light.python(INSPECT, exported, tmp_path / "maps.npz", *pictures)
    torchs = predictions(model.predict(pictures))
    span = float(np.ptp(np.concatenate([each.anomaly_map.ravel() for each in torchs])))
    with np.load(tmp_path / "maps.npz") as maps:
        for each, name, (score, verdict, category, reason, *_) in zip(torchs, maps.files, told, strict=True):
            np.testing.assert_allclose(maps[name], each.anomaly_map, rtol=0, atol=TOLERANCE * span)
            assert abs(score - each.score) <= TOLERANCE * span
            assert (verdict, category, reason) == (each.verdict, each.category, each.reason)


def test_its_command_line_predicts(light: Light, exported: Path, pictures: list[Path]) -> None:
    done = light.understudy("predict", exported, *pictures, "--format", "jsonl")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "13 pictures scored, 0 unreadable")
    here = predictions(Inspector.load(exported).predict(pictures))
    for row, each in zip(map(json.loads, done.stdout.splitlines()), here, strict=True):
        assert row["path"] == str(each.path)
        assert row["score"] == pytest.approx(each.score, rel=1e-5)
        assert (row["verdict"], row["category"], row["reason"]) == (each.verdict, each.category, each.reason)


def test_its_command_line_calibrates(
    light: Light,
    exported: Path,
    model_folder: Path,
    factory: Path,
    tmp_path: Path,
    uncalibrate: Callable[[Path], Path],
) -> None:
    copy = uncalibrate(Path(shutil.copytree(exported, tmp_path / "copy")))
    done = light.understudy("calibrate", copy, factory, "--false-alarm-rate", "0.15")
    assert done.returncode == 0, done.stderr
    ours = read_calibration(copy, read_manifest(copy))
    trained = Path(shutil.copytree(model_folder, tmp_path / "trained"))
    theirs = Model.load(trained, "cpu").calibrate(factory, false_alarm_rate=0.15, progress=False)
    assert ours is not None
    assert ours.thresholds.fail_above == pytest.approx(theirs.thresholds.fail_above, rel=1e-4)
    assert ours.promise == theirs.promise


def test_its_help_names_every_verb(light: Light) -> None:
    done = light.understudy("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(verb in done.stdout for verb in ("fit", "calibrate", "evaluate", "predict", "export"))


@pytest.mark.parametrize(
    "verb", ["fit", "calibrate", "evaluate", "predict", "diagnose", "export", "reproduce"]
)
def test_its_help_names_the_options_of_every_verb(light: Light, verb: str) -> None:
    done = light.understudy(verb, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: understudy" in done.stdout
    assert "--" in done.stdout


def test_the_light_modules_are_imported_from_it(light: Light) -> None:
    """A list of the modules of the runtime, and what else works without torch."""
    code = """
import importlib, json, pkgutil, sys
import understudy.runtime
names = [f"understudy.runtime.{each.name}" for each in pkgutil.iter_modules(understudy.runtime.__path__)]
names += ["understudy.data.layouts", "understudy.data.inspect", "understudy.calibrate", "understudy.cli"]
print(json.dumps([importlib.import_module(name).__file__ for name in names]))
"""
    files = light.python(code)
    assert len(files) > 10
    assert all(str(light.folder) in file for file in files)


@pytest.mark.parametrize("verb", ["fit", "evaluate", "predict", "export"])
def test_what_needs_torch_says_in_one_sentence_what_to_install(
    verb: str, light: Light, model_folder: Path, factory: Path, tmp_path: Path
) -> None:
    asked = {
        "fit": ("fit", factory, "--out", tmp_path / "out"),
        "evaluate": ("evaluate", model_folder, factory, "--out", tmp_path / "out"),
        "predict": ("predict", model_folder, factory),
        "export": ("export", model_folder, "--out", tmp_path / "out"),
    }[verb]
    done = light.understudy(*asked)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "needs more than the light runtime: pip install 'understudy[train]'" in done.stderr
    assert not (tmp_path / "out").exists()
