"""What a machine has is read from the system, and nothing that is looked for is imported."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from understudy.runtime import machine
from understudy.runtime.machine import (
    EXTRAS,
    installed_extras,
    installed_versions,
    instruction_sets,
    memory_bytes,
    processor_name,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (
            "model name\t: Chip 9\nflags\t\t: fpu avx2 amx_bf16 avx512_bf16\n",
            "Chip 9",
            ["avx2", "avx512_bf16", "amx_bf16"],
        ),
        ("BogoMIPS\t: 50\nFeatures\t: fp asimd bf16 sve\n", None, ["neon", "bf16", "sve"]),
        ("nothing of this kind", None, []),
    ],
)
def test_processor_and_instruction_sets_are_read_where_the_system_tells_them(
    text: str, name: str | None, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert instruction_sets() == found
    assert name is None or processor_name() == name


def test_a_system_that_tells_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "absent")
    assert instruction_sets() == []
    assert processor_name()
    assert (memory_bytes() or 1) > 0


def test_the_extras_are_those_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) == set(project["optional-dependencies"]) - {"dev", "docs"}


def test_an_extra_is_there_if_all_of_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EXTRAS", {"both": ("json", "csv"), "half": ("json", "no_such_module")})
    assert installed_extras() == {"both": True, "half": False}


def test_versions_are_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PACKAGES", ("numpy", "no-such-package"))
    assert list(installed_versions()) == ["python", "numpy"]


def test_looking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from understudy.runtime import machine as m\n"
        "m.installed_extras(); m.installed_versions()\n"
        "print([n for n in ('torch', 'mlflow', 'ray', 'pandas', 'onnxruntime') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
