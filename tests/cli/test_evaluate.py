"""``understudy evaluate`` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from understudy.cli import main


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_evaluating_with_a_broken_picture_reports_it_and_exits_with_1(
    data: Path, model_folder: Path, tmp_path: Path, the_error: Callable[[], str]
) -> None:
    (data / "nut" / "test" / "good" / "000.png").write_bytes(b"no picture")
    assert run("evaluate", model_folder, data, "--out", tmp_path / "e") == 1
    assert "left out" in the_error()
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert metrics["categories"]["nut"]["n_good"] == 1
