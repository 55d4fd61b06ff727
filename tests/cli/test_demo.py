"""``understudy demo`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from understudy.cli import main


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.mark.usefixtures("small_demo")
def test_the_demo_leaves_figures_a_report_and_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("demo", "--out", tmp_path / "d", "--pictures", 10, "--max-steps", 2) == 0
    metrics = json.loads((tmp_path / "d" / "metrics.json").read_text())
    assert list(metrics["categories"]) == ["capsule", "linen", "nut", "veneer"]
    assert "<figure" in (tmp_path / "d" / "report.html").read_text()
    assert (tmp_path / "d" / "model" / "manifest.json").is_file()
    out, err = capsys.readouterr()
    assert "linen" in out
    assert "40 good pictures" not in err  # a share was held out
    assert "32 good pictures to learn from, 8 held out" in err
