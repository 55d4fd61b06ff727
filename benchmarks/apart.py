"""Jobs of a benchmark, each in a process of its own, whose rows are kept as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import append, read

__all__ = ["print_rows", "run_missing"]

_MARK = "rows:"


def run_missing(
    script: str,
    data: Path | None,
    out: Path,
    job: dict[str, Any],
    limit_s: float | None = None,
    late: Sequence[dict[str, Any]] = (),
) -> None:
    """Run ``script --run JOB`` in a process of its own; append the rows that it prints to ``out``.

    A job whose rows are there is not repeated. One that takes longer than ``limit_s`` seconds is ended, and
    gives the rows ``late``.
    """
    if any(all(row[k] == str(v) for k, v in job.items()) for row in read(out)):
        return
    command = [sys.executable, script, "--out", str(out), "--run", json.dumps(job)]
    command += ["--data", str(data)] if data else []
    try:
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        rows = list(late)
    else:
        (line,) = (line for line in ended.stdout.splitlines() if line.startswith(_MARK))
        rows = json.loads(line.removeprefix(_MARK))
    append(out, rows)
    for row in rows:
        print({k: v for k, v in row.items() if k in job or isinstance(v, float)}, flush=True)


def print_rows(rows: list[dict[str, Any]]) -> None:
    """What the process of a job says to the one that started it."""
    print(_MARK + json.dumps(rows))
