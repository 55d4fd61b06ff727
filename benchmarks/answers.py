"""How a job's process hands its rows to the process that started it. Imports only the standard library."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["print_rows", "rows_in"]

_MARK = "rows:"


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print a job's rows on one line, for the process that started the job."""
    print(f"\n{_MARK}{json.dumps(rows)}", flush=True)


def rows_in(output: str) -> list[dict[str, Any]]:
    """Find the rows in all that a process printed."""
    (line,) = (line for line in output.splitlines() if line.startswith(_MARK))
    rows: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
    return rows
