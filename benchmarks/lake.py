"""How fast a lake is judged by one worker and by several, and how their memory stays.

    python benchmarks/lake.py --model EXPORTED --data REALBENCH --out benchmarks/results/lake.csv

The lake is made of links to the pictures of ``--data``. One worker judges ``--single`` of them before and
after ``--workers`` workers judge ``--pictures``, so that both meet the same machine. A rate is of the
time from the first part to the last, so without the start of the engine; ``seconds`` has it. Memory is what
the largest worker holds, in tenths of the run. CPU time tells what work costs where others use the machine
too: of the workers, without their start, and of the engine: this process and those of Ray that do not score.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import append, provenance
from understudy.progress import Reporter
from understudy.runtime.walk import find_pictures
from understudy.scale.lake import predict_lake


def main() -> None:
    """Measure, and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="exported model")
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="CSV file")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--single", type=int, default=2_000, help="pictures that one worker judges, twice")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        few, many = (
            _linked(asked.data, place / str(name), count)
            for name, count in (("few", asked.single), ("many", asked.pictures))
        )
        for lake, workers in ((few, 1), (many, asked.workers), (few, 1)):
            figures = measured(asked.model, lake, place / "out", workers)
            shutil.rmtree(place / "out")
            print(figures, flush=True)
            append(asked.out, [figures | provenance()])


def _linked(data: Path, folder: Path, count: int) -> Path:
    """Make a lake of ``count`` pictures: links to the test pictures, as often as it takes."""
    folder.mkdir()
    every = [path.resolve() for path in find_pictures(data) if "test" in path.parts]
    for number, path in enumerate(itertools.islice(itertools.cycle(every), count)):
        (folder / f"{number:06d}{path.suffix}").symlink_to(path)
    return folder


def measured(model: Path, lake: Path, out: Path, workers: int) -> dict[str, Any]:
    """Judge a lake; return rate, time and memory."""
    parts: list[tuple[float, int]] = []
    began = time.perf_counter()

    def advance(what: str, done: int, total: int, note: str) -> None:
        parts.append((time.perf_counter() - began, done))

    own = time.process_time()
    with _watched() as watch:
        report = predict_lake(model, [lake], out, workers=workers, progress=Reporter(advance=advance))
    own = time.process_time() - own
    seconds = time.perf_counter() - began
    (first, before), (last, done) = parts[0], parts[-1]
    assert report.rows == done
    return {
        "workers": workers,
        "pictures": done,
        "errors": report.errors,
        "seconds": round(seconds, 1),
        "rate": round((done - before) / (last - first), 2),
        "worker_ms": round(1000 * sum(_spent(watch.workers)) / (done - before), 2),
        "engine_ms": round(1000 * (own + sum(_spent(watch.engine))) / (done - before), 2),
        "worker_mib": json.dumps(_tenths(watch.held)),
    }


@dataclass
class _Watch:
    """What was seen of Ray's processes: CPU seconds by process, first and last; MiB of the largest worker."""

    workers: dict[int, list[float]] = field(default_factory=dict)
    engine: dict[int, list[float]] = field(default_factory=dict)
    held: list[int] = field(default_factory=list)


def _spent(seen: dict[int, list[float]]) -> list[float]:
    return [times[-1] - times[0] for times in seen.values()]


@contextmanager
def _watched(every: float = 0.5) -> Iterator[_Watch]:
    """Look at the processes of Ray that start during the block."""
    found, over = _Watch(), threading.Event()
    before = {int(process.name) for process in Path("/proc").glob("[0-9]*")}

    def watch() -> None:
        while not over.wait(every):
            largest = 0
            for process in Path("/proc").glob("[0-9]*"):
                if int(process.name) not in before:
                    with suppress(OSError, IndexError):  # it ended
                        largest = max(largest, _look(process, found))
            found.held.append(largest)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def _look(process: Path, found: _Watch) -> int:
    """Note the CPU time of a process of Ray, and return the MiB that a worker holds."""
    command = (process / "cmdline").read_bytes()
    is_worker = command.startswith(b"ray::MapWorker")
    if not is_worker and b"ray" not in command:
        return 0
    times = (process / "stat").read_text().rpartition(")")[2].split()
    seconds = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    (found.workers if is_worker else found.engine).setdefault(int(process.name), []).append(seconds)
    pages = int((process / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20 if is_worker else 0


def _tenths(held: list[int]) -> list[int]:
    """Return the memory at the end of each tenth of the time in which there were workers."""
    alive = [mib for mib in held if mib]
    return [alive[min(len(alive) - 1, len(alive) * tenth // 10)] for tenth in range(1, 11)] if alive else []


if __name__ == "__main__":
    main()
