"""The command line of ``fit`` has the options of ``understudy.fit``, with the same names and defaults."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import understudy
from understudy import PictureSet
from understudy.cli import main
from understudy.cli.app import app
from understudy.progress import Reporter
from understudy.train.options import FitOptions, fit_options
from understudy.train.presets import PRESET_FIELDS

Asked = dict[str, Any]

# What is typed for each option, and what it means; none of these is the default.
TYPED: dict[str, tuple[list[str], object]] = {
    "preset": (["--preset", "accurate"], "accurate"),
    "method": (["--method", "stpm"], "stpm"),
    "recipe": (["--recipe", "paper"], "paper"),
    "settings": (["--set", "centers=7", "--set", "cosine=hard"], {"centers": 7, "cosine": "hard"}),
    "teacher": (["--teacher", "resnet18"], "resnet18"),
    "teacher_weights": (["--teacher-weights", "random"], "random"),
    "strides": (["--strides", "8,16"], (8, 16)),
    "image_size": (["--image-size", "64"], 64),
    "keep_aspect": (["--keep-aspect"], True),
    "tile": (["--tile", "128"], 128),
    "overlap": (["--overlap", "8"], 8),
    "bit_depth": (["--bit-depth", "12"], 12),
    "roi": (["--roi", "mask.png"], Path("mask.png")),
    "epochs": (["--epochs", "3"], 3),
    "max_steps": (["--max-steps", "5"], 5),
    "batch_size": (["--batch-size", "4"], 4),
    "lr": (["--lr", "0.01"], 0.01),
    "schedule": (["--schedule", "cosine"], "cosine"),
    "seed": (["--seed", "9"], 9),
    "categories": (["--categories", "nut, bolt"], ("nut", "bolt")),
    "holdout": (["--holdout", "0.3"], 0.3),
    "validation": (["--validation", "0.2"], 0.2),
    "false_alarm_rate": (["--false-alarm-rate", "5%"], 0.05),
    "review_budget": (["--review-budget", "10%"], 0.1),
    "image_score": (["--image-score", "maximum"], "maximum"),
    "device": (["--device", "cpu"], "cpu"),
    "devices": (["--devices", "2"], 2),
    "nodes": (["--nodes", "2"], 2),
    "strategy": (["--strategy", "ddp"], "ddp"),
    "precision": (["--precision", "bf16"], "bf16"),
    "sampling": (["--sampling", "natural"], "natural"),
    "statistics": (["--statistics", "running"], "running"),
    "averaging": (["--averaging", "0.9"], 0.9),
    "cache": (["--cache", "1GB"], "1GB"),
    "workers": (["--workers", "2"], 2),
    "cache_features": (["--cache-features", "off"], "off"),
    "compile": (["--compile"], True),
    "checkpoint_every": (["--checkpoint-every", "7"], 7),
    "logger": (["--logger", "mlflow,csv"], ("mlflow", "csv")),
    "logger_to": (["--logger-to", "http://tracking:5000"], "http://tracking:5000"),
    "resume": (["--resume"], True),
    "overwrite": (["--overwrite"], True),
}
OPTIONS = {p.name: p for p in typer.main.get_command(app).commands["fit"].params}  # type: ignore[attr-defined]

READING = {"layout", "good", "bad"}  # how DATA is read


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    """Give what ``understudy.fit`` is asked for when something is typed."""
    found: Asked = {}

    def fit(data: Path, **keywords: Any) -> SimpleNamespace:
        found.update(keywords, data=data)
        training = SimpleNamespace(seconds=1.0)
        return SimpleNamespace(manifest=SimpleNamespace(training=training), thresholds=None)

    def open_data(data: Path, *options: object) -> Path:
        found["opened"] = options
        return data

    monkeypatch.setattr(understudy, "fit", fit)
    monkeypatch.setattr(sys.modules["understudy.cli.fit"], "open_data", open_data)

    def typed(*words: str) -> Asked:
        found.clear()
        assert main(["fit", "pictures", "--out", "model", *words]) == 0
        assert found.pop("opened") == ("auto", None, None)
        return dict(found)

    return typed


def test_there_is_an_option_for_each_of_the_functions_and_no_other() -> None:
    python = inspect.signature(understudy.fit).parameters
    assert set(OPTIONS) - READING == set(python) - {"progress"} == {*FitOptions.model_fields, "data", "out"}
    flags = {name: option.opts for name, option in OPTIONS.items() if name not in ("data", "settings")}
    assert flags == {name: [f"--{name.replace('_', '-')}"] for name in flags}
    assert OPTIONS["settings"].opts == ["--set"]


def test_how_the_pictures_are_read_is_typed_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    found: list[PictureSet] = []
    monkeypatch.setattr(understudy, "fit", lambda data, **_: found.append(data))
    assert main(["fit", str(tmp_path), "--out", "model"]) == 2
    for words in (["--layout", "products"], ["--good", "a, b"], ["--good", "a", "--bad", "b"]):
        main(["fit", str(tmp_path), "--out", "model", *words])
    assert [len(each.train()) for each in found] == [2, 2, 1]


def test_what_is_not_typed_has_the_functions_default(asked: Callable[..., Asked]) -> None:
    found = asked()
    assert (found.pop("data"), found.pop("out")) == (Path("pictures"), Path("model"))
    assert isinstance(found.pop("progress"), Reporter)
    assert found.keys() == FitOptions.model_fields.keys()
    assert fit_options(found) == FitOptions()
    defaults = {name: FitOptions.model_fields[name].get_default() for name in found}
    shown = {name: OPTIONS[name].default for name in found}
    assert shown == defaults | dict.fromkeys(["settings", *PRESET_FIELDS])


@pytest.mark.parametrize("name", FitOptions.model_fields)
def test_what_is_typed_reaches_the_function_and_changes_nothing_else(
    name: str, asked: Callable[..., Asked]
) -> None:
    words, meaning = TYPED[name]
    default, found = asked(), asked(*words)
    assert found[name] == meaning != default[name]
    others = {"progress", name}
    assert {k: v for k, v in found.items() if k not in others} == {
        k: v for k, v in default.items() if k not in others
    }


def test_processes_are_a_number_or_left_to_the_machine(asked: Callable[..., Asked]) -> None:
    assert asked("--workers", "auto")["workers"] is None
    assert asked("--workers", "0")["workers"] == 0


def test_the_help_describes_every_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["fit", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, field in FitOptions.model_fields.items():
        assert field.description is not None
        assert OPTIONS[name].opts[0] in shown
        assert " ".join(field.description.replace("``", "").split()) in shown


def test_the_folder_for_the_model_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "pictures"]) == 2
    assert "Missing option '--out'" in capsys.readouterr().err
