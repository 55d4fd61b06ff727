"""What README shows can be run as it stands, and what it says is so."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

import understudy
from understudy.cli import main
from understudy.methods import parse_assignments, settings_for
from understudy.train.options import FitOptions

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICK = {"image_size": 64, "max_steps": 2, "batch_size": 4, "device": "cpu", "precision": "32"}
HELD_OUT = 0.84  # of twenty-four pictures: enough to promise one false alarm in twenty


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def workplace(factory: Path, shallow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(factory, tmp_path / "demo" / "pictures")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs_in_the_order_shown(workplace: Path) -> None:
    commands = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines()]
    installed = [c[-1] for c in commands if c[:2] == ["pip", "install"]]
    assert installed == ["understudy[train]", "understudy"]  # tests/test_wheel.py installs the second
    made = [c for c in commands if c[0] == "make"]
    assert made == [["make", "demo"], ["make", "test"]]  # run by .ci/run
    assert all(" ".join(c) in (ROOT / ".ci" / "run").read_text(encoding="utf-8") for c in made)
    verbs = [c[1:] for c in commands if c[0] == "understudy"]
    assert [v[0] for v in verbs] == ["data", "fit", "calibrate", "evaluate", "explain", "export", "predict"]
    assert len(installed) + len(made) + len(verbs) == len(commands)
    verbs[1] += [f"--{k.replace('_', '-')}={v}" for k, v in QUICK.items()] + [f"--holdout={HELD_OUT}"]
    assert [main(v) for v in verbs] == [0] * len(verbs)
    assert len(list((workplace / "found" / "heatmaps").iterdir())) == 5
    assert (workplace / "model" / "evaluation" / "report.html").is_file()


def test_the_python_lines_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "demo" / "pictures" / "nut" / "test" / "chip" / "broken.png").write_bytes(b"no picture")
    fit = understudy.fit
    monkeypatch.setattr(
        understudy, "fit", lambda *a, **k: fit(*a, **k, **QUICK, holdout=HELD_OUT), raising=False
    )
    (shown,) = blocks("python")
    exec(compile(shown, "README.md", "exec"), {})
    *results, share = capsys.readouterr().out.splitlines()
    assert len(results) == 6
    assert len([line for line in results if "broken.png is no picture" in line]) == 1
    assert 0 <= float(share) <= 1
    found = list(understudy.load("line").predict("demo/pictures/nut/test"))
    assert [result.ok for result in found].count(False) == 1


def test_readme_is_short_and_has_one_table_of_results_with_its_legend_before_it() -> None:
    assert len(README.splitlines()) <= 100
    assert re.findall(r"<!-- (\w+): begin -->", README) == ["choose_preset"]
    assert README.index("100 is perfect") < README.index("<!-- choose_preset: begin -->")


def test_every_option_that_readme_names_is_one_of_fit() -> None:
    prose = re.sub(r"```.*?```", "", README, flags=re.S)
    named = set(re.findall(r"`--([\w-]+)[^`]*`", prose)) - {"set"}
    assert named
    assert {name.replace("-", "_") for name in named} <= set(FitOptions.model_fields)
    settings = re.findall(r"`--set (\S+)`", prose)
    assert settings
    settings_for(FitOptions().method, parse_assignments(settings))  # raises for one that is unknown


def test_every_public_name_is_there_and_explained() -> None:
    for name in understudy.__all__:
        assert getattr(understudy, name).__doc__ or name == "METHODS"


def test_no_file_of_the_package_is_long() -> None:
    long = [p for p in (ROOT / "src").rglob("*.py") if len(p.read_text(encoding="utf-8").splitlines()) > 400]
    assert long == []
