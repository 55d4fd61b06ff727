"""What README shows can be run as it stands, and what it says is so."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest

import understudy
from understudy.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
QUICK = {"image_size": 64, "max_steps": 2, "batch_size": 4, "device": "cpu", "precision": "32"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


@pytest.fixture
def workplace(factory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(factory, tmp_path / "demo" / "pictures")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs_in_the_order_shown(workplace: Path) -> None:
    commands = [shlex.split(line, comments=True) for block in blocks("bash") for line in block.splitlines()]
    made = [c for c in commands if c[0] == "make"]
    assert made == [["make", "demo"], ["make", "test"]]  # run by .ci/run
    assert all(" ".join(c) in (ROOT / ".ci" / "run").read_text() for c in made)
    verbs = [c[1:] for c in commands if c[0] == "understudy"]
    assert [v[0] for v in verbs] == [
        "data",
        "fit",
        "calibrate",
        "evaluate",
        "predict",
        "diagnose",
        "export",
        "predict",
        "reproduce",
    ]
    quick = [f"--{k.replace('_', '-')}={v}" for k, v in QUICK.items()]
    verbs[1] += [*quick, "--holdout=0.84"]  # twenty pictures promise one in twenty
    verbs[-1] += ["--image-size=64", "--epochs=1", "--device=cpu", "--precision=32"]
    assert [main(v) for v in verbs] == [0] * len(verbs)
    assert len(list((workplace / "found" / "heatmaps").iterdir())) == 5
    assert len(list((workplace / "marked" / "masks").iterdir())) == 5
    assert "+ L_inter" in (workplace / "reproduction" / "snl-5.md").read_text()


def test_the_python_lines_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fit = understudy.fit
    monkeypatch.setattr(understudy, "fit", lambda *a, **k: fit(*a, **k, **QUICK), raising=False)
    training, inspection = blocks("python")
    exec(compile(training, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5
    understudy.export("model", "line")
    exec(compile(inspection, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_the_global_student_leads_on_logical_anomalies_and_both_together_overall_for_every_seed() -> None:
    with (ROOT / "benchmarks" / "results" / "logical.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    seeds = {row["seed"] for row in rows}
    assert len(seeds) == 3
    for seed in seeds:
        by_map = {row["map"]: row for row in rows if row["seed"] == seed}
        assert float(by_map["global"]["logical"]) > float(by_map["local"]["logical"])
        assert all(float(by_map["fused"]["all"]) > float(by_map[m]["all"]) for m in ("local", "global"))


def test_files_that_readme_names_are_there() -> None:
    for path in ["CONTRIBUTING.md", "LICENSE", "docs/decisions"]:
        assert (ROOT / path).exists()


PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *ROOT.glob("benchmarks/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_to_are_there(page: Path) -> None:
    for path in re.findall(r"\]\(([^)#h][^)#]*)[^)]*\)", page.read_text()):
        assert (page.parent / path).exists(), path


def test_every_setting_that_readme_names_exists() -> None:
    fields = understudy.METHODS["snl-rd"].settings.model_fields
    named = re.findall(r"--set (\w+)=", README)
    assert len(named) == 2
    assert set(named) <= set(fields)


def test_every_public_name_is_there_and_explained() -> None:
    for name in understudy.__all__:
        assert getattr(understudy, name).__doc__ or name == "METHODS"


def test_no_file_of_the_package_is_long() -> None:
    long = [p for p in (ROOT / "src").rglob("*.py") if len(p.read_text().splitlines()) > 400]
    assert long == []
