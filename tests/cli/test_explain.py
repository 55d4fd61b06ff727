"""``understudy explain`` as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from understudy import Model
from understudy.cli import main


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.fixture
def chip(factory: Path) -> Path:
    return factory / "nut" / "test" / "chip" / "000.png"


def test_each_picture_has_its_rows_under_its_name(
    model_folder: Path, model: Model, factory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = factory / "nut" / "test"
    assert run("explain", model_folder, pictures, "--category", "nut", "--data", factory) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    for block, result in zip(blocks, model.predict(pictures, category="nut"), strict=True):
        name, *rows = block.splitlines()
        assert name == str(result.path)
        labels = [row[2:12].strip() for row in rows]
        assert [label for label in labels if label and "region" not in label] == [
            *("verdict", "product", "score", "limits", "nearest")
        ]
        assert rows[0].split()[1] == f"{result.verdict}:"
        assert "of nut" in block


def test_without_data_the_line_on_the_nearest_says_how_to_get_it(
    model_folder: Path, chip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", model_folder, chip) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if each.startswith("  nearest"))
    assert "--data" in line


def test_a_picture_that_cannot_be_read_is_one_line_and_exit_code_1(
    model_folder: Path, chip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    assert run("explain", model_folder, broken, chip, "--out", tmp_path / "why") == 1
    shown = capsys.readouterr()
    assert [line for line in shown.err.splitlines() if "broken.png" in line] == shown.err.splitlines()
    assert len(shown.err.splitlines()) == 1
    assert str(chip) in shown.out
    assert str(chip) in (tmp_path / "why" / "explain.html").read_text()


def test_a_model_without_thresholds_says_so_and_exits_with_3(
    exported_copy: Path,
    uncalibrate: Callable[[Path], Path],
    chip: Path,
    factory: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare = uncalibrate(exported_copy)
    assert run("explain", bare, chip, "--data", factory, "--out", tmp_path / "why") == 3
    shown = capsys.readouterr().out
    assert "no thresholds; understudy calibrate" in shown
    assert "distance" in shown.partition("  nearest")[2]
    assert (tmp_path / "why" / "explain.html").read_text().count("<img") == 4


def test_a_page_of_an_earlier_run_is_replaced_only_when_asked_and_a_users_file_never(
    model_folder: Path, chip: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    out = tmp_path / "why"
    asked = ("explain", model_folder, chip, "--out", out)
    assert run(*asked) == 0
    first = (out / "explain.html").read_bytes()
    the_page = ("explain", model_folder, chip.parent, "--out", out)
    assert run(*the_page) == 2
    assert "--overwrite" in the_error()
    assert (out / "explain.html").read_bytes() == first
    assert run(*asked, "--overwrite") == 0
    (out / "explain.html").write_text("mine")
    assert run(*asked, "--overwrite") == 2
    assert (out / "explain.html").read_text() == "mine"


def test_an_empty_out_and_an_unknown_category_are_refused_in_one_line(
    model_folder: Path, chip: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("explain", model_folder, chip, "--out", "") == 2
    the_error()
    assert run("explain", model_folder, chip, "--category", "bolt", "--out", tmp_path / "why") == 2
    assert "not trained on category 'bolt'" in the_error()
    assert not (tmp_path / "why").exists()


def test_an_exported_model_explains_without_torch_and_says_what_its_page_takes(
    exported: Path, chip: Path, factory: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'jinja2', 'safetensors', 'psutil'): sys.modules[name] = None\n"
        "import understudy.cli; sys.exit(understudy.cli.main())"
    )
    command = [sys.executable, "-c", code, "explain", str(exported), str(chip)]
    done = subprocess.run([*command, "--data", str(factory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the nearest of" in done.stdout
    page = subprocess.run(
        [*command, "--out", str(tmp_path / "why")], capture_output=True, text=True, check=False
    )
    assert (page.returncode, page.stdout) == (2, "")
    (line,) = page.stderr.splitlines()
    assert "--out" in line
    assert "understudy[train]" in line
    assert not (tmp_path / "why").exists()


def test_its_help_names_what_can_be_asked_and_waits_for_nothing_heavy() -> None:
    code = (
        "import sys, understudy.cli as cli; assert cli.main(['explain', '--help']) == 0; "
        "sys.exit(' '.join({'torch', 'numpy', 'scipy', 'PIL'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("MODEL", "PICTURE", "--data", "--category", "--out", "--overwrite"):
        assert word in done.stdout
