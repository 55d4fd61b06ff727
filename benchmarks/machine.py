"""Where and with what a figure was measured, and the files that hold the figures."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import understudy  # noqa: F401  (a missing installation fails here, with its name)

__all__ = ["append", "provenance", "read"]


def provenance() -> dict[str, str]:
    """Date, commit, machine and versions, for every row of a result."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
        "versions": ", ".join([f"python {platform.python_version()}", *map(_installed, ("torch", "timm"))]),
    }


def _installed(package: str) -> str:
    """Name and version of a package. It is not imported, because a process here may measure its memory."""
    return f"{package} {importlib.metadata.version(package)}"


def _commit() -> str:
    here = Path(__file__).parent
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def read(path: Path) -> list[dict[str, str]]:
    """Read the rows of a results file; there are none if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to a file, under its columns. A new file gets the columns of the first row."""
    columns, new = list(rows[0]), True
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            columns, new = next(csv.reader(file)), False
    with path.open("a", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        if new:
            table.writeheader()
        table.writerows(rows)
