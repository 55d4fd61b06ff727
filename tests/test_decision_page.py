"""What the inspection engineer's page says is so: its options, its table of tiles, its program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from understudy.cli.app import app
from understudy.runtime.images import read_picture
from understudy.runtime.preprocess import Preprocess
from understudy.runtime.walk import find_pictures

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "from-score-to-decision.md").read_text()
README = (ROOT / "README.md").read_text()


def options_of(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from parameter.opts
    for below in getattr(command, "commands", {}).values():
        yield from options_of(below)


def test_every_option_that_the_page_or_readme_names_is_one_of_a_verb() -> None:
    text = re.sub(r"`python benchmarks/[^`]*`", "", PAGE + README)
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    assert {"--roi", "--tile", "--precision", "--min-area"} <= named
    assert named <= {"--help", *options_of(typer.main.get_command(app))}


@pytest.mark.parametrize(
    ("row", "framing"),
    [
        ("no option", {}),
        ("`--keep-aspect`", {"keep_aspect": True}),
        ("`--tile 1024 --overlap 128`", {"tile": 1024, "overlap": 128}),
        ("`--tile 512 --overlap 64`", {"tile": 512, "overlap": 64}),
        ("`--tile 256 --overlap 32`", {"tile": 256, "overlap": 32}),
    ],
)
def test_windows_and_maps_of_a_large_picture_are_as_the_table_says(row: str, framing: dict[str, Any]) -> None:
    look = Preprocess(image_size=256, mean=(0.5,) * 3, std=(0.5,) * 3, **framing)
    height, width = look.canvas((3000, 4000))
    count = len(look.corners((height, width)))
    assert f"| {row} | {count} | {width} x {height} | {20 * width / 4000:.2g} |" in PAGE


def test_the_program_runs_on_arrays_and_goes_on_after_a_broken_one(
    exported: Path,
    factory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(exported, "line")
    pictures = [read_picture(path) for path in find_pictures(factory / "nut" / "test")]
    frames = [pictures[0], np.zeros((4, 4, 7)), pictures[1][..., ::-1], pictures[2][..., 0]]
    program = re.findall(r"```python\n(.*?)```", PAGE, re.S)[0]
    program, n = re.subn(r"^frames = .*\n", "", program, flags=re.M)  # a camera's instead of a folder's
    assert n == 1
    exec(compile(program, "from-score-to-decision.md", "exec"), {"frames": frames})
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.split()[0] in ("PASS", "REVIEW", "FAIL") for line in lines) == 3
    assert sum("picture-1" in line for line in lines) == 1
