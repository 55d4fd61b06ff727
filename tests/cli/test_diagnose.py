"""``understudy diagnose`` as a user meets it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from understudy import InputError
from understudy.cli import main
from understudy.cli.diagnose import parse_pairs


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_diagnose_writes_figures_and_a_page_and_prints_both_tables(
    model_folder: Path, factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shutil.copytree(model_folder, tmp_path / "model")
    assert run("diagnose", model, factory, "--pictures", 2, "--device", "cpu") == 0
    figures = json.loads((model / "diagnosis" / "diagnosis.json").read_text())
    assert figures["schema"] == 1
    assert len(figures["mix"]["pairs"]) == 6
    assert "<svg" in (model / "diagnosis" / "diagnosis.html").read_text()
    out, err = capsys.readouterr()
    assert "capsule + linen" in out
    assert "mean of 6" in out
    assert "mean of 12" in out
    assert out.count(" on ") == 10  # the worst ones
    assert "mixes 6/6" in err
    assert "\x1b[" not in out + err


def test_pairs_seed_and_folder_can_be_chosen(model_folder: Path, factory: Path, tmp_path: Path) -> None:
    options = ("--pairs", "nut:linen, linen:nut", "--seed", 5, "--pictures", 2, "--out", tmp_path / "d")
    assert run("diagnose", model_folder, factory, *options) == 0
    figures = json.loads((tmp_path / "d" / "diagnosis.json").read_text())
    assert figures["seed"] == 5
    assert [(r["a"], r["b"]) for r in figures["mix"]["pairs"]] == [("linen", "nut")]
    assert len(figures["paste"]["pairs"]) == 2
    assert not (model_folder / "diagnosis").exists()


def test_pairs_are_read_as_they_are_meant() -> None:
    assert parse_pairs(None) is None
    assert parse_pairs("cable:wood, nut : bolt") == [("cable", "wood"), ("nut", "bolt")]
    for wrong in ("", "cable", "a:b:c", "a:", "a:b,,c:d"):
        with pytest.raises(InputError, match="two categories with a colon"):
            parse_pairs(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pairs", "nut"], "such as cable:wood, got 'nut'"),
        (["--pairs", "nut:screw"], "'screw' is no category"),
        (["--one-class", "NONE"], "holds no one-class model of capsule, linen, nut, veneer"),
        (["--out", "FILE/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_diagnosed_is_one_sentence_and_exit_code_2(
    options: list[str],
    message: str,
    model_folder: Path,
    factory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    given = [
        o.replace("NONE", str(tmp_path / "none")).replace("FILE", str(tmp_path / "file")) for o in options
    ]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "out")]
    assert run("diagnose", model_folder, factory, *given) == 2
    (line,) = [s for s in capsys.readouterr().err.splitlines() if s.startswith("understudy: ")]
    assert message in line


def test_help_names_what_can_be_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run("diagnose", "--help") == 0
    shown = capsys.readouterr().out
    for word in ("MODEL", "DATA", "--out", "--one-class", "--pairs", "--pictures", "--seed", "--device"):
        assert word in shown
