"""Jobs of a benchmark, each in a process of its own, whose rows are kept as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from answers import print_rows, rows_in
from machine import append, read

__all__ = ["add_missing", "print_rows", "run_missing"]

Row = dict[str, Any]


def run_missing(
    script: str,
    data: Path | None,
    out: Path,
    job: Row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
) -> None:
    """Run ``script --run JOB`` in a process of its own; append the rows that it prints to ``out``.

    A job whose rows are there is not repeated. One that takes longer than ``limit_s`` seconds is ended, and
    gives the rows ``late``.
    """
    command = [sys.executable, script, "--out", str(out), "--run", json.dumps(job)]
    command += ["--data", str(data)] if data else []
    add_missing(out, job, command, limit_s=limit_s, late=late)


def add_missing(
    out: Path,
    job: Row,
    command: Sequence[str],
    complete: Callable[[Row], Row] = lambda row: row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
) -> None:
    """Append the rows that a command prints to ``out``, each completed; not where the job's are there."""
    if any(all(row[k] == str(v) for k, v in job.items()) for row in read(out)):
        return
    try:
        ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s)
        rows = [complete(row) for row in rows_in(ended.stdout)]
    except subprocess.TimeoutExpired:
        rows = list(late)
    append(out, rows)
    for row in rows:
        print({k: v for k, v in row.items() if k in job or isinstance(v, float)}, flush=True)
