"""What is installed in the environment that runs this; imports nothing that is installed."""

from __future__ import annotations

import importlib.metadata
import platform

__all__ = ["versions"]

_NAMES = ("understudy", "anomalib", "torch", "timm", "lightning", "onnxruntime", "openvino")


def versions() -> str:
    """Of Python and of what both sides depend on, as far as it is there."""
    found = [f"python {platform.python_version()}"]
    for name in _NAMES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


if __name__ == "__main__":
    print(versions())
