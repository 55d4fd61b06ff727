"""What the station's page tells the engineer to type exists; its service and container are locked down."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from understudy.cli.app import app
from understudy.station.config import CallLimits, StationOptions

DOCS = Path(__file__).parents[2] / "docs"
NAME = re.compile(r"(.*/bin/)?understudy|understudy-station")
PAGE = (DOCS / "station.md").read_text(encoding="utf-8")
SERVICE, CONTAINER = DOCS / "station" / "understudy.service", DOCS / "station" / "Containerfile"


def commands() -> list[list[str]]:
    """Words behind the program's name, of every command of the page and of the service file."""
    shown = "".join(re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)).replace("\\\n", "")
    lines = [shlex.split(line, comments=True) for line in shown.splitlines()]
    lines += [shlex.split(line) for line in re.findall(r"`(understudy [^`]*)`", PAGE)]
    lines += [shlex.split(line) for line in SERVICE.read_text().splitlines() if line.startswith("ExecStart=")]
    found = []
    for words in lines:
        places = [i for i, word in enumerate(words) if NAME.fullmatch(word)]
        behind = words[places[-1] + 1 :] if places else []
        if behind and behind[0][0] != "-":
            found.append(behind)
    return found


def parse(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    for word in words:
        if word not in getattr(command, "commands", {}):
            break
        command, words = command.commands[word], words[1:]
    command.make_context("understudy", list(words)).close()


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_page_has_its_arguments_and_options(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parse([word if word != "MODEL" else "nuts" for word in words])


def test_the_page_shows_commands() -> None:
    assert len(commands()) >= 15


def test_the_table_of_options_has_those_of_serve_with_their_defaults() -> None:
    command: Any = typer.main.get_command(app)
    known = {name for param in command.commands["serve"].params for name in param.opts if name[:2] == "--"}
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) == known - {"--demo", "--help"}
    options = StationOptions(folder=Path("station"))
    for shown in (
        f"| `--keep-every N` | {options.keep_every} |",
        f"| `--batch-size N` | {options.batch_size} |",
        f"`{options.host}`, `{options.port}`",
    ):
        assert shown in table


def test_the_table_of_limits_has_those_in_force() -> None:
    limits, table = CallLimits(), PAGE.partition("## Limits")[2]
    for what, most in (
        ("bytes of a call", f"{limits.call_bytes // 2**20} MiB"),
        ("bytes of all calls at a time", f"{limits.bytes_in_flight // 2**20} MiB"),
        ("bytes of a picture", f"{limits.picture_bytes // 2**20} MiB"),
        ("pixels of a picture", f"{limits.pixels // 10**6} million"),
        ("pictures of a call", f"{limits.pictures}"),
        ("calls with pictures at a time", f"{limits.calls}"),
        ("pictures that wait for the model", f"{limits.waiting}"),
        ("time for a call to arrive", f"{limits.seconds:g} s"),
    ):
        assert f"| {what} | {most} |" in table


def test_the_service_runs_as_its_own_user_and_writes_its_own_folder_only() -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(SERVICE)
    service = unit["Service"]
    assert service["User"] == "understudy"
    assert service["StateDirectory"] == "understudy"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert "--folder /var/lib/understudy" in service["ExecStart"]


def test_systemd_knows_every_line_of_the_service(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed: apt install systemd")
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text().replace("/opt/understudy/bin/understudy", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unknown" not in done.stderr
    assert SERVICE.name not in done.stderr


def test_the_container_runs_as_a_user_without_rights() -> None:
    lines = CONTAINER.read_text().splitlines()
    assert lines[1] == "FROM python:3.11-slim"
    assert "USER 10001:10001" in lines
    assert lines.index("USER 10001:10001") < next(i for i, each in enumerate(lines) if "ENTRYPOINT" in each)
    run = PAGE.partition("podman run -d")[2].partition("```")[0]
    for needed in ("--read-only", "--cap-drop all", "no-new-privileges"):
        assert needed in run
