"""What happens in a training, as one line of JSON every few steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from understudy.runtime.bundle import writing

__all__ = ["Journal"]


class Journal:
    """Appends figures to a file; a training that goes on from a step keeps what came before it.

    Args:
        path: the file, ``training.jsonl`` beside a model.
        start: step from which the training goes on.

    Raises:
        WorkError: the file cannot be written.
    """

    def __init__(self, path: Path, start: int = 0) -> None:
        self._path = path
        kept = []
        if start and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= start]
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures of a step, in the order given."""
        line = json.dumps({"step": step} | {k: float(f"{v:.6g}") for k, v in figures.items()})
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
