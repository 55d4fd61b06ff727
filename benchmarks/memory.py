"""How much memory a process has taken, and how much it may take."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["cap_memory", "is_out_of_memory", "peak_mib", "resident_mib"]


def peak_mib() -> int:
    """Most MiB that this process has held so far, its parent's not counted (as ``getrusage`` does)."""
    return _kib("VmHWM") // 1024


def resident_mib() -> int:
    """MiB that this process holds now."""
    return _kib("VmRSS") // 1024


def cap_memory(gigabytes: float) -> None:
    """Let this process ask for so much beyond what it has now; whatever needs more fails, here alone."""
    limit = 1024 * _kib("VmSize") + int(1e9 * gigabytes)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error, of Python, torch or its libraries, says that memory was not given."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "allocate memory" in said or "bad_alloc" in said


def _kib(name: str) -> int:
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found)
