"""How the process of a job hands its rows to the one that started it; imports nothing that is installed."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["print_rows", "rows_in"]

_MARK = "rows:"


def print_rows(rows: list[dict[str, Any]]) -> None:
    """What the process of a job says to the one that started it, on a line of its own."""
    print(f"\n{_MARK}{json.dumps(rows)}", flush=True)


def rows_in(output: str) -> list[dict[str, Any]]:
    """The rows among all that a process printed."""
    (line,) = (line for line in output.splitlines() if line.startswith(_MARK))
    rows: list[dict[str, Any]] = json.loads(line.removeprefix(_MARK))
    return rows
