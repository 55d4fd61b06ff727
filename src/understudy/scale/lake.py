"""Judge a lake of pictures by Ray Data: parts appear as they are done, and a run that was stopped goes on."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from understudy.data.remote import is_uri
from understudy.errors import UnderstudyError, WorkError, extra_needed
from understudy.files import sha256_of
from understudy.progress import Progress, reporting
from understudy.runtime.sources import usable_cores
from understudy.scale.batch import RESULT_COLUMNS, BatchInspector, Columns
from understudy.scale.parts import Origin, as_utf8, finished_parts, keeping_others_out, write_part
from understudy.scale.places import list_lake, place_name, read_content

__all__ = ["LakeReport", "predict_lake"]

_MOST_ROWS = 1000  # of a part; what a stop loses, at most, for each worker
_PARTS = 32  # for each worker, so that all end at about the same time
_READERS = 16  # threads of a worker that read from a store
_CHUNK = 64  # pictures of a store that a worker holds at once; as many again are on their way
_STORE = 100 * 2**20  # bytes of Ray's object store on one machine: only names and counts pass through it


@dataclass(frozen=True)
class LakeReport:
    """What a run did.

    Attributes:
        rows: number of pictures that have a row now, of those that were asked for.
        errors: number of these rows that have an error.
        before: number of the pictures whose rows were there already.
        calibrated: whether rows have verdicts.
    """

    rows: int
    errors: int
    before: int
    calibrated: bool


def predict_lake(
    model: str | Path,
    places: Sequence[str | Path],
    out: str | Path,
    *,
    workers: int | None = None,
    category: str | None = None,
    batch_size: int = 8,
    overwrite: bool = False,
    require_signature: str | Path | None = None,
    progress: Progress = True,
) -> LakeReport:
    """Judge pictures of folders and object stores in many processes, into a folder of Parquet parts.

    A cluster that the environment variable ``RAY_ADDRESS`` names does the work, else a cluster of this
    machine alone, which ends with the run. A picture that cannot be judged gives a row with an error.
    Pictures that have a row already are passed over.

    Args:
        model: folder of an exported model, at the same place on every machine.
        places: pictures, folders or URIs such as ``s3://line/monday``.
        out: folder or URI of the parts.
        workers: number of processes that score, each in one thread; one per usable core by default, or one
            per core of the cluster.
        category: product that all pictures show; recognised for each picture by default.
        batch_size: number of windows scored at once.
        overwrite: remove the parts of earlier runs first.
        require_signature: file of a public key (PEM); a model that was not signed with it is refused.
        progress: see :data:`understudy.progress.Progress`.

    Raises:
        InputError: Ray is not installed, there are no pictures, the model is not exported or does not know
            the category, or the folder holds results of another model.
        WorkError: the parts cannot be written, or the engine failed. Parts that are done stay.
    """
    if not all(importlib.util.find_spec(name) for name in ("ray", "pyarrow")):
        raise extra_needed("ray", "a lake of pictures")
    target = place_name(out)
    options: dict[str, Any] = {
        "category": category,
        "batch_size": batch_size,
        "require_signature": require_signature,
    }
    calibrated = BatchInspector(model, **options).inspector.calibration is not None
    origin = Origin(sha256_of(Path(model) / "manifest.json"), category)
    every = list_lake(places)
    with keeping_others_out(target), reporting(progress, plain_lines=True) as reporter:
        finished = finished_parts(target, origin, overwrite=overwrite)
        missing = [path for path in every if as_utf8(path) not in finished.paths]
        before, errors = len(every) - len(missing), len(finished.failed.intersection(map(as_utf8, every)))
        del every, finished
        if before:
            reporter.say(f"{before} pictures have rows in {target} already; {len(missing)} are missing")
        done = before
        if missing:
            settings = {
                "folder": Path.cwd(),
                "model": Path(model),
                "out": target,
                "origin": origin,
                "options": options,
            }
            with warnings.catch_warnings(), _engine(workers) as size:
                for rows, failed in _run(missing, size, batch_size, settings):
                    done, errors = done + rows, errors + failed
                    reporter.advance("predict", done, before + len(missing), "")
    return LakeReport(done, errors, before, calibrated)


class _Worker:
    """What an actor of Ray Data holds: the model, and the threads that read ahead from a store."""

    def __init__(self, folder: Path, model: Path, out: str, origin: Origin, options: dict[str, Any]) -> None:
        with suppress(OSError):  # another machine may lack it; then all names are to be whole
            os.chdir(folder)
        self._judge = BatchInspector(model, **options)
        self._out, self._origin = out, origin
        self._readers = ThreadPoolExecutor(_READERS)

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Any]]:
        """Judge the pictures of a block and write them as one part; return its counts, or why it failed."""
        paths = [os.fsdecode(path) for path in block["path"]]
        rows: Columns = {name: [] for name in RESULT_COLUMNS}
        for batch in self._read(paths) if any(map(is_uri, paths)) else [{"path": paths}]:
            for name, values in self._judge(batch).items():
                rows[name] += values
        counts: dict[str, list[Any]] = {
            "rows": [len(paths)],
            "errors": [len(paths) - rows["error"].count(None)],
            "failed": [""],
        }
        try:
            write_part(self._out, rows, self._origin)
        except UnderstudyError as error:  # as a value: Ray would bury the sentence
            counts["failed"] = [str(error)]
        return counts

    def _read(self, paths: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
        """Yield batches with the contents of files, while threads read the next ones."""
        coming = (self._readers.submit(_content_of, path) for path in paths)
        ahead: deque[Future[tuple[bytes | None, str | None]]] = deque(islice(coming, 2 * _CHUNK))
        for at in range(0, len(paths), _CHUNK):
            names = list(paths[at : at + _CHUNK])
            read = [ahead.popleft().result() for _ in names]
            ahead.extend(islice(coming, len(names)))
            contents, errors = zip(*read, strict=True)
            yield {"path": names, "bytes": list(contents), "error": list(errors)}


def _content_of(path: str) -> tuple[bytes | None, str | None]:
    return read_content(path) if is_uri(path) else (None, None)  # the decoder opens local files


def _run(
    paths: Sequence[str], workers: int, batch_size: int, settings: dict[str, Any]
) -> Iterator[tuple[int, int]]:
    """Let actors judge blocks of pictures; yield rows and errors of each part when it is written."""
    import pyarrow as pa
    import ray.data
    from ray.exceptions import RayError

    even = math.ceil(len(paths) / (workers * _PARTS) / batch_size) * batch_size  # whole batches
    size = min(_MOST_ROWS, max(even, batch_size))
    names = [os.fsencode(path) for path in paths]  # a name may be no UTF-8
    blocks = [pa.table({"path": names[at : at + size]}) for at in range(0, len(names), size)]
    counts = ray.data.from_arrow(blocks).map_batches(
        _Worker,
        fn_constructor_kwargs=settings,
        batch_size=None,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=2),
        num_cpus=1,
    )
    try:
        for row in counts.iter_rows():
            if row["failed"]:
                raise WorkError(f"{row['failed']}; parts that are done stay")
            yield int(row["rows"]), int(row["errors"])
    except RayError as error:
        raise WorkError(
            f"Ray stopped by {type(error).__name__} (--debug shows why); parts that are done stay, so give "
            "the same command again"
        ) from error


@contextmanager
def _engine(workers: int | None) -> Iterator[int]:
    """Start Ray quietly, or join the cluster that runs; yield the number of workers."""
    for kind in (DeprecationWarning, FutureWarning):  # Ray warns of itself
        warnings.simplefilter("ignore", kind)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray
    import ray.data

    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS")
        alone: dict[str, Any] = {
            "address": "local",
            "num_cpus": workers or usable_cores(),
            "include_dashboard": False,
            "object_store_memory": _STORE,
            "_node_ip_address": "127.0.0.1",
        }
        with _silent():
            ray.init(
                **({"address": address} if address else alone),
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    resources: Any = ray.cluster_resources  # it has no types
    try:
        yield workers or max(1, int(resources().get("CPU", 1)))
    finally:
        if ours:
            ray.shutdown()


@contextmanager
def _silent() -> Iterator[None]:
    """Send nowhere what native code prints to stderr, such as that it prints less from now on."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
