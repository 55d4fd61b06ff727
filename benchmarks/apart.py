"""Jobs of a benchmark, each in a process of its own, whose rows are kept as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import append, read

__all__ = ["print_rows", "run_missing"]

_MARK = "rows:"


def run_missing(script: str, data: Path, out: Path, job: dict[str, Any]) -> None:
    """Run ``script --run JOB`` in a process of its own; append the rows that it prints to ``out``.

    A job whose rows are there is not repeated.
    """
    if any(all(row[k] == str(v) for k, v in job.items()) for row in read(out)):
        return
    command = [sys.executable, script, "--data", str(data), "--out", str(out), "--run", json.dumps(job)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    (line,) = (line for line in output.splitlines() if line.startswith(_MARK))
    rows: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
    append(out, rows)
    for row in rows:
        print({k: v for k, v in row.items() if k in job or isinstance(v, float)}, flush=True)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """What the process of a job says to the one that started it."""
    print(_MARK + json.dumps(rows))
