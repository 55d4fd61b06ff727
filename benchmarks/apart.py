"""Jobs of a benchmark, each in a process of its own, whose rows are kept as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import append, read

__all__ = ["is_done", "print_rows", "run_apart"]

_MARK = "rows:"


def is_done(out: Path, job: dict[str, Any]) -> bool:
    """Whether a results file holds a job's rows."""
    return any(all(row[k] == str(v) for k, v in job.items()) for row in read(out))


def run_apart(script: str, data: Path, out: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Run ``script --run JOB`` in a process of its own and append the rows that it prints to ``out``."""
    command = [sys.executable, script, "--data", str(data), "--out", str(out), "--run", json.dumps(job)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    (line,) = (line for line in output.splitlines() if line.startswith(_MARK))
    rows: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
    append(out, rows)
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    """What the process of a job says to the one that started it."""
    print(_MARK + json.dumps(rows))
