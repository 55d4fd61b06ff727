"""Where and with what a figure was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

import timm
import torch

import understudy  # noqa: F401  (so that a missing installation is named first)

__all__ = ["provenance"]


def provenance() -> dict[str, str]:
    """Date, commit, machine and versions, for every row of a result."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib()} GiB",
        "versions": f"python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}",
    }


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
