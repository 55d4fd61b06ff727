"""Latency, throughput and memory of scoring: torch and the exported runtimes, on one core and on two.

    python benchmarks/scoring.py --data REALBENCH --out benchmarks/results/scoring.csv

Every measurement has a process of its own that is held to so many cores. Pictures are scored as files, and
as arrays of the model's size, which leaves nothing to decode. How well a model was trained changes no time,
so that one is trained briefly where none is named; but an export in int8 may be refused of a poor one, and
is then left out. Rows are added as runs finish; a run whose rows are there is not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import understudy
from apart import print_rows, run_missing
from machine import provenance, read
from memory import peak_mib
from tables.cost import scoring
from understudy.runtime.manifest import read_manifest
from understudy.runtime.inspector import Inspector
from understudy.runtime.images import Picture, find_pictures, read_picture

Pictures = Sequence[Path | Picture]
Scorer = Callable[[Pictures, int], Iterable[object]]
"""Takes pictures and a batch size; gives a result a picture."""

EXPORTS: dict[str, dict[str, Any]] = {
    "onnx": {"format": "onnx"},
    "openvino": {"format": "openvino"},
    "onnx int8": {"format": "onnx", "precision": "int8"},
    "openvino int8": {"format": "openvino", "precision": "int8"},
    "openvino bf16": {"format": "openvino", "precision": "bf16"},
}
KINDS = ("files", "arrays")


def main() -> None:
    """Train, export, and run what is missing, contenders in turn; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--category", default="hazelnut")
    parser.add_argument("--model", type=Path, help="a trained one is fitted where none is named")
    parser.add_argument("--image-size", type=int, default=256, help="of a model that is fitted here")
    parser.add_argument("--steps", type=int, default=300, help="likewise")
    parser.add_argument("--count", type=int, default=100, help="pictures")
    parser.add_argument("--rounds", type=int, default=3, help="passes over them")
    parser.add_argument("--batch-sizes", default="1,8,32")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        model = asked.model or fitted(asked.data, asked.category, asked.image_size, asked.steps, work)
        (work / "torch").symlink_to(model.resolve())
        contenders = ["torch", *exported(model, asked.data / asked.category, work)]
        gather(find_pictures(asked.data / asked.category / "test"), asked.count, work / "pictures")
        for threads in map(int, asked.threads.split(",")):
            for batch_size in map(int, asked.batch_sizes.split(",")):
                for pictures in KINDS:
                    for contender in contenders:
                        job = {
                            "contender": contender,
                            "threads": threads,
                            "batch_size": batch_size,
                            "pictures": pictures,
                            "count": asked.count,
                            "rounds": asked.rounds,
                        }
                        run_missing(__file__, work, asked.out, job)
    print(scoring(read(asked.out)))


def fitted(data: Path, category: str, image_size: int, steps: int, work: Path) -> Path:
    """A model of one category."""
    folder = work / "fitted"
    understudy.fit(data, folder, categories=(category,), image_size=image_size, max_steps=steps)
    return folder


def exported(model: Path, data: Path, work: Path) -> list[str]:
    """Export the model in every way that can be had of it; the names of the exports."""
    names = []
    for name, how in EXPORTS.items():
        try:
            understudy.export(model, work / name, data=data, **how)
        except understudy.WorkError as error:
            print(f"{name} is left out: {error}", flush=True)
        else:
            names.append(name)
    return names


def gather(found: Sequence[Path], count: int, folder: Path) -> None:
    """Make a folder of so many pictures, the same again where there are too few."""
    folder.mkdir()
    for i in range(count):
        path = found[i % len(found)].resolve()
        (folder / f"{i:04}{path.suffix}").symlink_to(path)


def run(
    work: Path, contender: str, threads: int, batch_size: int, pictures: str, count: int, rounds: int
) -> dict[str, Any]:
    """Score the pictures in batches, and one by one where batches are of one: one row."""
    job = {k: v for k, v in locals().items() if k != "work"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    score = opened(contender, work / contender, threads)
    manifest = read_manifest(work / contender)
    given: Pictures = sorted((work / "pictures").iterdir())
    if pictures == "arrays":
        given = [manifest.preprocess.resize(read_picture(path)) for path in find_pictures(work / "pictures")]
    list(score(given[: 2 * batch_size], batch_size))  # the first ones find nothing warm
    passes = [timed(score, given, batch_size) for _ in range(rounds)]
    figures: dict[str, Any] = {"per_second": round(count / median(passes), 2), "p50_ms": "", "p99_ms": ""}
    if batch_size == 1:
        latencies = [1000 * timed(score, [one], 1) for one in given]
        figures["p50_ms"] = round(median(latencies), 1)
        figures["p99_ms"] = round(quantiles(latencies, n=100, method="inclusive")[-1], 1)
    facts = {
        "method": manifest.method,
        "image_size": manifest.preprocess.image_size,
        "teacher": manifest.teacher.name,
    }
    return job | figures | {"peak_mib": peak_mib()} | facts | provenance()


def opened(contender: str, folder: Path, threads: int) -> Scorer:
    """What scores with a contender, on so many threads."""
    if contender == "torch":
        import torch  # the other contenders do without

        torch.set_num_threads(threads)
        model = understudy.load(folder, "cpu")
        return lambda pictures, batch_size: model.predict(pictures, batch_size)
    inspector = Inspector.load(folder, threads)
    return lambda pictures, batch_size: inspector.inspect(pictures, batch_size)


def timed(score: Scorer, pictures: Pictures, batch_size: int) -> float:
    """Seconds until all results are there."""
    began = time.perf_counter()
    results = list(score(pictures, batch_size))
    seconds = time.perf_counter() - began
    broken = [result for result in results if isinstance(result, understudy.PictureError)]
    if broken or len(results) != len(pictures):
        raise SystemExit(f"{len(broken)} of {len(pictures)} pictures were not scored: {broken[:1]}")
    return seconds


if __name__ == "__main__":
    main()
