"""How much memory a process has taken, and how much it may take."""

from __future__ import annotations

import re
import resource
from pathlib import Path

__all__ = ["cap_memory", "is_out_of_memory", "matrix_bytes", "peak_mib", "resident_mib"]


def peak_mib() -> int:
    """The most MiB that this process has held so far; ``getrusage`` would count its parent's too."""
    return _kib("VmHWM") // 1024


def resident_mib() -> int:
    """MiB that this process holds now."""
    return _kib("VmRSS") // 1024


def cap_memory(gigabytes: float) -> None:
    """Let this process take so much beyond what it has now. What needs more fails, and harms nobody else."""
    limit = 1024 * _kib("VmSize") + int(1e9 * gigabytes)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, of torch or of its libraries says that memory was refused."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "allocate memory" in said or "bad_alloc" in said


def matrix_bytes(batch_size: int, positions: int, terms: int) -> int:
    """The least memory that the plain affinity terms take at once for their (B, n, n) float32 matrices.

    They take the most at the finest level, in the forward pass. Each earlier term keeps its difference for
    the gradient. The last term holds both affinities and their difference. The gradients take more.
    """
    return (terms - 1 + 3) * 4 * batch_size * positions**2


def _kib(name: str) -> int:
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found)
