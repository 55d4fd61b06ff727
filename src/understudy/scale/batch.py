"""Batches of pictures -> columns of results, for every engine that works in batches; imports none of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from understudy.errors import InputError, PictureError
from understudy.runtime.inspector import Inspector
from understudy.runtime.manifest import holds_graph
from understudy.runtime.scoring import Scored
from understudy.runtime.sources import EncodedPicture, Source
from understudy.types import Result

__all__ = ["RESULT_COLUMNS", "BatchInspector", "result_row"]

RESULT_COLUMNS = ("path", "score", "verdict", "category", "reason", "regions", "error")

Columns = dict[str, list[Any]]
"""Results by name of the column; ``regions`` is JSON text, and what is not known is ``None``."""


def result_row(result: Result) -> dict[str, Any]:
    """Return the row of a result: the values of ``RESULT_COLUMNS``, regions as dictionaries."""
    row: dict[str, Any] = dict.fromkeys(RESULT_COLUMNS) | {"path": str(result.path), "error": result.error}
    if result.ok:
        row |= {
            "score": result.score if math.isfinite(result.score) else None,  # JSON has no NaN
            "verdict": result.verdict,
            "category": result.category,
            "reason": result.reason,
            "regions": [region._asdict() for region in result.regions] if result.verdict else None,
        }
    return row


class BatchInspector:
    """Judges batches of pictures with an exported model; Ray Data, Daft and others keep one in each worker.

    The model is opened once, when the object is made. A picture has the same score in every batch and every
    worker, to the last bit, and the same as in :meth:`understudy.Inspector.predict` of a list; one picture
    alone is computed otherwise there, and its score may differ in the sixth digit. A picture that cannot be
    judged gives a row with an error; the batch goes on.

    Args:
        model: folder of an exported model.
        category: product that all pictures show; recognised for each picture by default.
        threads: number of threads that decode and score. One by default, because an engine starts as many
            workers as there are cores.
        batch_size: number of windows scored at once.
        require_signature: file of a public key (PEM); a model that was not signed with it is refused.

    Raises:
        BundleError: the folder holds no model, or one that is damaged or not signed as required.
        InputError: the model is not exported, or was not trained on the category.

    Example:
        >>> judge = BatchInspector("line")                                        # doctest: +SKIP
        >>> judge({"path": ["a.png"], "bytes": [data]})["verdict"]                # doctest: +SKIP
        ['PASS']
    """

    def __init__(
        self,
        model: str | Path,
        *,
        category: str | None = None,
        threads: int = 1,
        batch_size: int = 8,
        require_signature: str | Path | None = None,
    ) -> None:
        self.inspector = open_exported(model, threads, require_signature)
        self.inspector.require_category(category)
        self._category, self._threads, self._batch_size = category, threads, batch_size

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> Columns:
        """Judge a batch.

        Args:
            batch: a column ``path`` with names of pictures, and one that holds them: ``bytes`` with contents
                of files, or ``image`` with arrays as :data:`understudy.runtime.sources.PictureInput` names
                them. With neither, or without a value, files are read from a disk. A row whose ``error`` is
                set already, as by a reader that failed, keeps it.

        Returns:
            Columns ``RESULT_COLUMNS`` with one value a picture, in order.

        Raises:
            InputError: there is no column ``path``.
        """
        if "path" not in batch:
            raise InputError(f"a batch has a column path, got {', '.join(map(str, batch)) or 'no column'}")
        paths = [str(path) for path in batch["path"]]
        failed = list(batch.get("error", repeat(None, len(paths))))
        held = next((batch[name] for name in ("bytes", "image") if name in batch), repeat(None, len(paths)))
        given = [
            _source(path, content, "bytes" in batch)
            for path, content, error in zip(paths, held, failed, strict=True)
            if error is None
        ]
        scorer = self.inspector.scorer
        known = repeat(self._category)
        scored = scorer.score(given, self._batch_size, known, steady=True, threads=self._threads)
        columns: Columns = {name: [] for name in RESULT_COLUMNS}
        for path, error in zip(paths, failed, strict=True):
            for name, value in self._row(path, error, scored).items():
                columns[name].append(value)
        return columns

    def _row(self, path: str, error: str | None, scored: Iterator[Scored | PictureError]) -> dict[str, Any]:
        """Return the row of the next picture, under the name that it came with."""
        if error is not None:
            return dict.fromkeys(RESULT_COLUMNS) | {"path": path, "error": str(error)}
        row = result_row(self.inspector.judged(next(scored), self._category))
        if row["error"]:
            row["error"] = path + row["error"].removeprefix(row["path"])  # a URI is no path: it lost a slash
        regions = row["regions"]
        return row | {"path": path, "regions": None if regions is None else json.dumps(regions)}


def open_exported(model: str | Path, threads: int, require_signature: str | Path | None = None) -> Inspector:
    """Open an exported model for one of many workers.

    Args:
        model: folder of the model.
        threads: number of threads that score.
        require_signature: file of a public key (PEM) that the model must be signed with.

    Raises:
        BundleError: the folder holds no model, or one that is damaged or not signed as required.
        InputError: it is a trained model: its last bits depend on the number of threads.
    """
    folder = Path(model)
    if (folder / "manifest.json").is_file() and not holds_graph(folder):
        raise InputError(
            f"{folder} is a trained model, and several workers share the work of exported ones only; "
            f"make one with understudy export {folder} --out DIR"
        )
    return Inspector.load(folder, threads, require_signature=require_signature)


def _source(path: str, content: Any, encoded: bool) -> Source:
    if content is None or (isinstance(content, float) and math.isnan(content)):  # pandas fills gaps with NaN
        return Path(path)
    picture: Source = EncodedPicture(path, bytes(content)) if encoded else content
    return picture
