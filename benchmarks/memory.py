"""How much memory a process has taken."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["peak_mib"]


def peak_mib() -> int:
    """Most MiB that this process has held so far, its parent's not counted (as ``getrusage`` does)."""
    (kib,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kib) // 1024
