"""Processes that run cases; one that hangs is killed, and one that dies is counted."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from typing import Any

from robustness.judge import HANG, TRACEBACK, Case, Kind, Verdict, judge
from robustness.launcher import Launcher

Asked = tuple[str, int]
"""The name of a kind, and the number of a case."""

# Each process is forked from one server that has imported everything, so a start costs milliseconds.
PRELOADED = ("understudy.cli.app", "understudy.model", "understudy.export", "understudy.evaluate.report")
PRELOADED += ("onnxscript", "onnxruntime", "PIL.Image", "pyarrow.parquet", "robustness.kinds")
FORKS = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Prepare the server that all processes are forked from; its environment is that of this moment."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(
        (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    )
    FORKS.set_forkserver_preload(list(PRELOADED))


@dataclass
class Worker:
    """One process, its pipe, and the case that it runs."""

    process: Any
    pipe: Connection
    asked: Asked = ("", 0)
    until: float = 0.0


def run_cases(
    asked: Sequence[Asked], kinds: Mapping[str, Kind], kit: Path | None, seed: int, workers: int
) -> Iterator[Verdict]:
    """Run cases in several processes, and yield a verdict of each as it comes."""
    waiting = list(reversed(asked))
    with tempfile.TemporaryDirectory(prefix="robustness-") as scratch:
        pool = [_start(kinds, kit, seed, Path(scratch)) for _ in range(min(workers, len(asked)))]
        busy: list[Worker] = []
        try:
            busy = [worker for worker in pool if _give(worker, waiting, kinds)]
            while busy:
                wait(
                    [worker.pipe for worker in busy], max(0.0, min(w.until for w in busy) - time.monotonic())
                )
                for worker in list(busy):
                    verdict = _verdict(worker)
                    if verdict is None:
                        continue
                    yield verdict
                    if not worker.process.is_alive():
                        fresh = _start(kinds, kit, seed, Path(scratch))
                        worker.process, worker.pipe = fresh.process, fresh.pipe
                    if not _give(worker, waiting, kinds):
                        busy.remove(worker)
        finally:
            for worker in pool:
                with contextlib.suppress(OSError):
                    worker.pipe.send(None)
                worker.process.join(1 if worker not in busy else 0)
                worker.process.kill()
                worker.process.join()


def _start(kinds: Mapping[str, Kind], kit: Path | None, seed: int, scratch: Path) -> Worker:
    ours, theirs = FORKS.Pipe()
    process = FORKS.Process(target=_serve, args=(theirs, dict(kinds), kit, seed, scratch))
    process.start()
    theirs.close()
    return Worker(process, ours)


def _give(worker: Worker, waiting: list[Asked], kinds: Mapping[str, Kind]) -> bool:
    if not waiting:
        return False
    worker.asked = waiting.pop()
    worker.until = time.monotonic() + kinds[worker.asked[0]].seconds
    worker.pipe.send(worker.asked)
    return True


def _verdict(worker: Worker) -> Verdict | None:
    """The verdict of a worker's case; ``None`` while it runs in its time."""
    try:
        if worker.pipe.poll():
            answer = worker.pipe.recv()
            if isinstance(answer, Verdict):
                return answer
            raise RuntimeError(answer)
        if time.monotonic() < worker.until:
            return None
        worker.process.kill()
        worker.process.join()
        return Verdict(*worker.asked, HANG, "see --only and --case", "it was killed at its time limit")
    except EOFError:
        worker.process.join()
        code = worker.process.exitcode
        return Verdict(*worker.asked, TRACEBACK, "see --only and --case", f"the process died: {code}")


def _serve(pipe: Connection, kinds: Mapping[str, Kind], kit: Path | None, seed: int, scratch: Path) -> None:
    from robustness.kit import Kit

    shared = kit and Kit(kit, Launcher())
    if shared:
        import torch

        torch.set_num_threads(1)
    noise = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115
    os.dup2(noise.fileno(), 2)  # what C libraries write there
    sys.stderr = os.fdopen(os.dup(2), "w")
    while asked := pipe.recv():
        name, number = asked
        try:
            began = time.monotonic()
            verdict: Any = run_one(kinds[name], number, seed, shared, scratch)
            noise.seek(0)
            verdict = replace(
                verdict, noise=noise.read().decode(errors="replace"), seconds=time.monotonic() - began
            )
            noise.seek(0)
            noise.truncate()
        except Exception as error:  # a fault of the campaign itself
            verdict = f"{error}: {error.__cause__!r}"
        pipe.send(verdict)


def run_one(kind: Kind, number: int, seed: int, kit: Any, scratch: Path) -> Verdict:
    """Run one case of a kind in a folder of its own, which is removed afterwards."""
    place = Path(tempfile.mkdtemp(prefix=f"{kind.name.replace(' ', '-')}-{number}-", dir=scratch)) / "case"
    place.mkdir()
    os.chdir(place)
    case = Case(Random(f"{seed} {kind.name} {number}"), kit, place, number)
    try:
        return judge(kind.name, number, lambda: kind.make(case), place)
    finally:
        os.chdir(scratch)
        shutil.rmtree(place.parent, ignore_errors=True)
