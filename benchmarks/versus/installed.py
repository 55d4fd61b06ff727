"""Versions of what is installed in the environment that runs this. Imports only the standard library."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["versions"]

_NAMES = ("understudy", "anomalib", "torch", "timm", "lightning", "onnxruntime", "openvino")


def versions() -> str:
    """List the versions of Python and of the packages that both sides depend on, if they are installed."""
    found = [f"python {platform.python_version()}"]
    for name in _NAMES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    print(versions())
