from __future__ import annotations

from pathlib import Path

import pytest

from understudy.cli import main


def test_a_table_is_run_written_and_printed(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    category = sorted(p.name for p in factory.iterdir() if p.is_dir())[0]
    given = ["reproduce", "stpm", "--data", str(factory), "--out", str(tmp_path), "--categories", category]
    given += ["--teacher", "tf_efficientnet_lite0", "--seeds", "0,1", "--max-steps", "1"]
    assert main([*given, "--image-size", "64", "--precision", "32", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "# STPM: `stpm`" in out
    assert str(tmp_path / "stpm.md") in out
    assert "seeds 0, 1" in (tmp_path / "stpm.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["snl-7"], "no table is named 'snl-7'"),
        (["snl-1", "--seeds", "0,x"], "--seeds takes numbers"),
        (["snl-1", "--rows", ","], "--rows names none"),
    ],
)
def test_bad_arguments_are_one_line_that_names_the_way_out(
    factory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], named: str
) -> None:
    code = main(["reproduce", *given, "--data", str(factory), "--out", str(tmp_path / "out")])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert named in line
