"""``understudy export`` as a user meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from understudy import Inspector
from understudy.cli import main
from understudy.runtime.manifest import read_manifest


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.mark.usefixtures("written")
def test_without_data_a_graph_is_compared_on_noise_and_its_size_is_said(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", model_folder, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    size = sum(file.stat().st_size for file in (tmp_path / "out").iterdir())
    assert out == f"{tmp_path / 'out'}: onnx, float32, {size / 1e6:.1f} MB\n"
    card = read_manifest(tmp_path / "out").graph
    assert card is not None
    assert card.parity is not None
    assert card.parity.source == "noise"
    assert f"{card.parity.windows} windows, noise" in err
    assert Inspector.load(tmp_path / "out", threads=1).categories


@pytest.mark.usefixtures("written")
def test_a_graph_is_compared_on_data_that_is_named_in_the_format_that_is_asked_for(
    model_folder: Path, factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--format", "openvino", "--data", factory, "--batch-size", 5)
    assert run("export", model_folder, "--out", tmp_path / "out", *options) == 0
    out, err = capsys.readouterr()
    assert ": openvino, float32, " in out
    assert f"pictures of {factory.name}" in err
    assert (tmp_path / "out" / "model.xml").is_file()


def test_what_cannot_be_exported_is_one_sentence(
    model_folder: Path, exported_copy: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    assert run("export", model_folder, "--out", tmp_path / "out", "--precision", "int8") == 2
    assert "name them with --data" in the_error()
    assert run("export", model_folder, "--out", exported_copy) == 2
    assert "choose another --out, or --overwrite it" in the_error()
    assert run("export", tmp_path / "none", "--out", tmp_path / "out") == 2
    assert "holds no trained model" in the_error()
    assert run("export", model_folder, "--out", tmp_path / "out", "--format", "tflite") == 2
    assert not (tmp_path / "out").exists()
