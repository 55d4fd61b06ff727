"""The names of the package: what there is, what importing them costs, what is said where a part lacks."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import understudy
from understudy.cli import main


def run(code: str, *arguments: object) -> str:
    """What a fresh process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", understudy.__all__)
def test_every_name_is_there_and_listed(name: str) -> None:
    assert getattr(understudy, name) is not None
    assert name in dir(understudy)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'understudy' has no attribute 'fitt'"):
        understudy.fitt  # noqa: B018
    assert not hasattr(understudy, "TrainedModel")


def test_the_version_is_that_of_the_installation() -> None:
    assert understudy.__version__ == version("understudy")
    assert understudy.__version__[0].isdigit()


def test_the_command_line_prints_the_version_and_stops(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"understudy {version('understudy')}\n"


def test_names_are_listed_and_the_version_is_read_without_what_is_heavy() -> None:
    code = (
        "import sys, understudy; understudy.__version__; assert 'Model' in dir(understudy); "
        "print(*sorted({'torch', 'numpy', 'PIL', 'scipy', 'lightning'} & sys.modules.keys()))"
    )
    assert run(code).strip() == ""


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
import understudy
"""


def test_what_needs_torch_says_what_to_install_where_there_is_none() -> None:
    code = f"""{WITHOUT_TORCH}
for name in ("Model", "fit", "METHODS", "register_method", "register_teacher"):
    try:
        getattr(understudy, name)
    except understudy.InputError as error:
        print(error)
"""
    lines = run(code).splitlines()
    assert len(lines) == 5
    assert all(line.endswith("pip install 'understudy[train]'") for line in lines)


def test_an_exported_model_is_loaded_and_asked_without_torch(exported: Path, factory: Path) -> None:
    code = f"""{WITHOUT_TORCH}
model = understudy.load(sys.argv[1])
print(type(model).__name__, *(result.verdict for result in model.predict(sys.argv[2])))
"""
    name, *verdicts = run(code, exported, factory / "nut" / "test").split()
    assert name == "Inspector"
    assert len(verdicts) == 5
    assert set(verdicts) <= {"PASS", "REVIEW", "FAIL"}


def test_a_trained_model_says_what_to_install_where_there_is_no_torch(model_folder: Path) -> None:
    code = f"""{WITHOUT_TORCH}
try:
    understudy.load(sys.argv[1])
except understudy.InputError as error:
    print(error)
"""
    assert run(code, model_folder).strip().endswith("pip install 'understudy[train]'")
