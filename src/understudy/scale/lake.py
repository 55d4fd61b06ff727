"""Judge a lake of pictures by Ray Data: parts appear as they are done, and a run that was stopped goes on."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import traceback
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from understudy.data.remote import is_uri
from understudy.errors import InputError, UnderstudyError, WorkError, extra_needed
from understudy.files import sha256_of
from understudy.progress import Progress, reporting
from understudy.runtime.sources import usable_cores
from understudy.scale.batch import RESULT_COLUMNS, BatchInspector, Columns
from understudy.scale.parts import Origin, as_utf8, finished_parts, keeping_others_out, write_part
from understudy.scale.places import Content, list_lake, local_folder, place_name, read_content

__all__ = ["LakeReport", "predict_lake"]

_MOST_ROWS = 1000  # of a part; what a stop loses, at most, for each worker
_PARTS = 32  # for each worker, so that all end at about the same time
_READERS = 16  # threads of a worker that read from a store
_CHUNK = 64  # pictures of a store that a worker holds at once; as many again are on their way
_MOST_DEADLY = 20  # pictures of a run that may end their workers; more are a fault of the machine
_STORE = 100 * 2**20  # bytes of Ray's object store on one machine: only names and counts pass through it


@dataclass(frozen=True)
class LakeReport:
    """What a run did.

    Attributes:
        rows: number of pictures that have a row now, of those that were asked for.
        errors: number of these rows that have an error.
        before: number of the pictures whose rows were there already.
        calibrated: whether rows have verdicts.
        unreached: number of pictures that have no row, because their store did not answer.
    """

    rows: int
    errors: int
    before: int
    calibrated: bool
    unreached: int = 0


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
    machine alone, which ends with the run. A picture that cannot be judged gives a row with an error, one
    that ends the process of its worker too. One whose store does not answer gets no row. Pictures that have a
    row already are passed over; a local picture is known by its absolute path.

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
            the category, a machine has another model there, or the folder holds results of another model.
        WorkError: the parts cannot be written, or the engine failed. Parts that are done stay.
    """
    if not all(importlib.util.find_spec(name) for name in ("ray", "pyarrow")):
        raise extra_needed("ray", "a lake of pictures")
    model, named = Path(model).absolute(), place_name(out)
    folder = local_folder(named)
    target = named if folder is None else str(folder)
    options: dict[str, Any] = {
        "category": category,
        "batch_size": batch_size,
        "require_signature": require_signature and Path(require_signature).absolute(),
    }
    calibrated = BatchInspector(model, **options).inspector.calibration is not None
    origin = Origin(sha256_of(model / "manifest.json"), category)
    every = list_lake(places)
    with keeping_others_out(target), reporting(progress, plain_lines=True) as reporter:
        finished = finished_parts(target, origin, overwrite=overwrite)
        for part in finished.damaged:
            reporter.say(f"{part} is what is left of a damaged part; its pictures are judged again")
        _require_whole_names(finished.paths, target)
        missing = {path: place for path, place in every.items() if as_utf8(path) not in finished.paths}
        before, errors = len(every) - len(missing), len(finished.failed.intersection(map(as_utf8, every)))
        del every, finished
        if before:
            reporter.say(f"{before} pictures have rows in {named} already; {len(missing)} are missing")
        done, unreached, reason = before, 0, ""
        if missing:
            settings = {"model": model, "out": target, "origin": origin, "options": options}
            with warnings.catch_warnings(), _engine(workers) as size:
                for step in _run(missing, size, batch_size, settings):
                    done, errors = done + step.rows, errors + step.errors
                    unreached, reason = unreached + step.unreached, reason or step.reason
                    if step.says:
                        reporter.say(step.says)
                    reporter.advance("predict", done, before + len(missing), "")
        if unreached:
            reporter.say(f"{unreached} pictures have no row yet; the first: {reason}")
    return LakeReport(done, errors, before, calibrated, unreached)


def _require_whole_names(paths: set[str], target: str) -> None:
    """Refuse rows of pictures that nobody can tell from others of the same name."""
    for path in paths:
        if not (os.path.isabs(path) or is_uri(path)):  # noqa: PTH117  # there may be millions
            raise InputError(
                f"{target} holds a row of {path}, which does not say in which folder; choose another --out, "
                "or --overwrite them"
            )


class _Step(NamedTuple):
    """A part that was written: its rows, how many have errors, and what was left out of it, and why."""

    rows: int
    errors: int
    unreached: int = 0
    reason: str = ""
    says: str = ""


class _Worker:
    """What an actor of Ray Data holds: the model, and the threads that read ahead from a store.

    Nothing that fails is raised, because Ray would bury the sentence and begin again.
    """

    def __init__(
        self, model: Path, out: str, origin: Origin, options: dict[str, Any], at_once: int = 1
    ) -> None:
        self._out, self._origin = out, origin
        self._suspect = at_once if _died_before() else 0  # blocks that come first: one of them was deadly
        self._readers, self._answers = ThreadPoolExecutor(_READERS), True
        self._failed: dict[str, list[Any]] = {}
        try:
            self._judge = BatchInspector(model, **options)
            if sha256_of(model / "manifest.json") != origin.manifest_sha256:
                raise InputError(f"{model} is another model on a machine of a worker; copy it to all of them")
        except Exception as error:
            self._failed = _failure(error)

    def __call__(self, block: dict[str, Any]) -> dict[str, list[Any]]:
        """Judge the pictures of a block and write them as one part; return its counts, or why it failed."""
        counts: dict[str, list[Any]] = {"first": [block["path"][0]], "rows": [0], "errors": [0]}
        counts |= {"unreached": [0], "reason": [""], "lost": [False]}
        counts |= {"failed": [""], "exit_code": [0], "trace": [""]}
        if self._failed:
            return counts | self._failed
        try:
            if self._suspect:
                self._suspect -= 1
                return counts | {"lost": [True]}
            return counts | self._write(
                *([os.fsdecode(name) for name in block[c]] for c in ("path", "place"))
            )
        except Exception as error:
            return counts | _failure(error)

    def _write(self, paths: Sequence[str], places: Sequence[str]) -> dict[str, list[Any]]:
        """Judge pictures and write a part of those that were reached; return its counts."""
        rows: Columns = {name: [] for name in RESULT_COLUMNS}
        reasons: list[str] = []
        batches = self._read(paths, places, reasons) if any(map(is_uri, places)) else [{"path": list(paths)}]
        for batch in batches:
            for name, values in self._judge(batch).items():
                rows[name] += values
        if rows["path"]:
            write_part(self._out, rows, self._origin)
        return {
            "rows": [len(rows["path"])],
            "errors": [len(rows["path"]) - rows["error"].count(None)],
            "unreached": [len(reasons)],
            "reason": reasons[:1] or [""],
        }

    def _read(
        self, paths: Sequence[str], places: Sequence[str], reasons: list[str]
    ) -> Iterator[dict[str, list[Any]]]:
        """Yield batches with the contents of files, while threads read the next ones.

        A batch is emptied when the next one is asked for. Why files were not reached is added to ``reasons``.
        """
        coming = (self._readers.submit(self._content_of, *each) for each in zip(paths, places, strict=True))
        ahead: deque[Future[Content]] = deque(islice(coming, _CHUNK))
        for at in range(0, len(paths), _CHUNK):
            batch: dict[str, list[Any]] = {"path": [], "bytes": [], "error": []}
            for name in paths[at : at + _CHUNK]:
                data, error, reached = ahead.popleft().result()
                if not reached:
                    reasons.append(str(error))
                    continue
                for column, value in zip(batch.values(), (name, data, error), strict=True):
                    column.append(value)
            data = None
            ahead.extend(islice(coming, _CHUNK))
            if batch["path"]:
                yield batch
            batch.clear()

    def _content_of(self, path: str, place: str) -> Content:
        if not is_uri(place):
            return Content(None)  # the decoder opens local files
        content = read_content(path, place, self._answers)
        self._answers = content.reached
        return content


def _died_before() -> bool:
    """Tell whether this process takes the place of a worker that died; it gets that one's blocks first."""
    import ray

    context: Any = ray.get_runtime_context() if ray.is_initialized() else None
    in_an_actor = context is not None and context.get_actor_id() is not None
    return in_an_actor and bool(context.was_current_actor_reconstructed)


def _failure(error: Exception) -> dict[str, list[Any]]:
    if isinstance(error, UnderstudyError):
        return {"failed": [str(error)], "exit_code": [error.exit_code]}
    said = f"a worker stopped by {type(error).__name__} (--debug shows why)"
    return {"failed": [said], "exit_code": [1], "trace": [traceback.format_exc()]}


def _run(
    pictures: Mapping[str, str], workers: int, batch_size: int, settings: dict[str, Any]
) -> Iterator[_Step]:
    """Let actors judge blocks of pictures; yield what each part holds when it is written.

    The pictures of blocks that a worker had when it died are judged one by one. Those that end a worker again
    get rows with an error.
    """
    paths = list(pictures)
    even = math.ceil(len(paths) / (workers * _PARTS) / batch_size) * batch_size  # whole batches
    size = min(_MOST_ROWS, max(even, batch_size))
    blocks = [paths[at : at + size] for at in range(0, len(paths), size)]
    lost = yield from _judge_blocks(blocks, pictures, workers, settings | {"at_once": 2})
    if not lost:
        return
    there = finished_parts(settings["out"], settings["origin"])  # a worker may die when its part is written
    written = [name for block in lost for name in map(as_utf8, block) if name in there.paths]
    alone = [[path] for block in lost for path in block if as_utf8(path) not in there.paths]
    says = f"workers died over {len(alone)} pictures, which are judged one by one now"
    yield _Step(len(written), len(there.failed.intersection(written)), says=says)
    still = yield from _judge_blocks(alone, pictures, workers, settings | {"at_once": 1})
    deadly = [path for (path,) in still]
    if len(deadly) > _MOST_DEADLY:
        raise WorkError(
            f"{len(deadly)} pictures ended the processes that judged them, {deadly[0]} for one; look whether "
            "the machines have enough memory, and give the same command again; parts that are done stay"
        )
    if deadly:
        errors = [f"{path} ended the process that judged it; convert it, or leave it out" for path in deadly]
        rows = {name: [None] * len(deadly) for name in RESULT_COLUMNS} | {"path": deadly, "error": errors}
        write_part(settings["out"], rows, settings["origin"])
        yield _Step(len(deadly), len(deadly))


def _judge_blocks(
    blocks: Sequence[Sequence[str]], pictures: Mapping[str, str], workers: int, settings: dict[str, Any]
) -> Generator[_Step, None, list[Sequence[str]]]:
    """Let actors judge blocks; return those that one of them had when it died."""
    import pyarrow as pa
    import ray.data
    from ray.exceptions import RayError

    tables = [
        pa.table({"path": list(map(os.fsencode, block)), "place": [os.fsencode(pictures[p]) for p in block]})
        for block in blocks  # a name may be no UTF-8
    ]
    by_first, lost = {os.fsencode(block[0]): block for block in blocks}, []
    try:
        counts = ray.data.from_arrow(tables).map_batches(
            _Worker,
            fn_constructor_kwargs=settings,
            batch_size=None,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(
                size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=settings["at_once"]
            ),
            num_cpus=1,
        )
        for row in counts.iter_rows():
            if row["failed"]:
                kind = InputError if row["exit_code"] == InputError.exit_code else WorkError
                raise kind(f"{row['failed']}; parts that are done stay") from (
                    RuntimeError(row["trace"]) if row["trace"] else None
                )
            if row["lost"]:
                lost.append(by_first[row["first"]])
            yield _Step(int(row["rows"]), int(row["errors"]), int(row["unreached"]), row["reason"])
    except RayError as error:
        raise WorkError(
            f"Ray stopped by {type(error).__name__} (--debug shows why); parts that are done stay, so give "
            "the same command again"
        ) from error
    return lost


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
