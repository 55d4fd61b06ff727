"""Latency, throughput and memory of scoring, in torch and in the exported runtimes, on one core and on two.

    python benchmarks/scoring.py --data REALBENCH --out benchmarks/results/scoring.csv

Every measurement runs in its own process, which is held to so many cores. Pictures are scored as files, and
as arrays of the model's size, which need no decoding. The quality of a model changes no time, so a short
training is enough if no model is named. An export of a poor model in int8 may be refused; it is then left
out. Rows are added as runs finish. A run whose rows exist is not repeated.
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

from apart import print_rows, run_missing
from machine import provenance, read
from memory import peak_mib
from tables.cost import scoring
from understudy import Inspector, Result, WorkError
from understudy.runtime.images import Picture, read_picture
from understudy.runtime.manifest import read_manifest
from understudy.runtime.walk import find_pictures

Pictures = Sequence[Path | Picture]
Scorer = Callable[[Pictures, int], Iterable[Result]]
"""Takes pictures and a batch size; gives one result a picture."""

EXPORTS: dict[str, dict[str, Any]] = {
    "onnx": {"format": "onnx"},
    "openvino": {"format": "openvino"},
    "onnx int8": {"format": "onnx", "precision": "int8"},
    "openvino int8": {"format": "openvino", "precision": "int8"},
    "openvino bf16": {"format": "openvino", "precision": "bf16"},
}
KINDS = ("files", "arrays")


def main() -> None:
    """Train, export, and run what is missing, with the contenders in turn; print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--category", default="hazelnut")
    parser.add_argument("--model", type=Path, help="a trained model; one is trained if none is named")
    parser.add_argument("--image-size", type=int, default=256, help="input size, if a model is trained here")
    parser.add_argument("--steps", type=int, default=300, help="steps, if a model is trained here")
    parser.add_argument("--count", type=int, default=100, help="pictures to score")
    parser.add_argument("--rounds", type=int, default=3, help="passes over the pictures")
    parser.add_argument("--batch-sizes", default="1,8,32")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print_rows([run(asked.data, **json.loads(asked.run))])
        return
    with TemporaryDirectory() as scratch:
        work = Path(scratch)
        model = asked.model or trained(asked.data, asked.category, asked.image_size, asked.steps, work)
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


def trained(data: Path, category: str, image_size: int, steps: int, work: Path) -> Path:
    """Train a model of one category and give its folder."""
    from understudy import Model  # imports torch, which the processes of the exported runtimes do without

    model = Model.fit(
        data,
        out=work / "trained",
        categories=(category,),
        image_size=image_size,
        max_steps=steps,
        progress=False,
    )
    return model.folder


def exported(model: Path, data: Path, work: Path) -> list[str]:
    """Export the model in every way that works, and list the names of the exports."""
    from understudy import Model

    trained_model, names = Model.load(model), []
    for name, how in EXPORTS.items():
        try:
            trained_model.export(work / name, data=data, progress=False, **how)
        except WorkError as error:
            print(f"{name} is left out: {error}", flush=True)
        else:
            names.append(name)
    return names


def gather(found: Sequence[Path], count: int, folder: Path) -> None:
    """Make a folder of so many pictures; repeat them if there are too few."""
    folder.mkdir()
    for i in range(count):
        path = found[i % len(found)].resolve()
        (folder / f"{i:04}{path.suffix}").symlink_to(path)


def run(
    work: Path, contender: str, threads: int, batch_size: int, pictures: str, count: int, rounds: int
) -> dict[str, Any]:
    """Score the pictures in batches; with a batch of one, time each picture too: one row."""
    job = {k: v for k, v in locals().items() if k != "work"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    score = opened(contender, work / contender, threads)
    manifest = read_manifest(work / contender)
    given: Pictures = sorted((work / "pictures").iterdir())
    if pictures == "arrays":
        given = [manifest.preprocess.resize(read_picture(path)) for path in find_pictures(work / "pictures")]
    list(score(given[: 2 * batch_size], batch_size))  # warm-up
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
    """Load a contender that scores on so many threads."""
    if contender != "torch":
        inspector = Inspector.load(folder, threads)
    else:
        import torch

        from understudy import Model

        torch.set_num_threads(threads)
        inspector = Model.load(folder, "cpu").inspector
    return lambda pictures, batch_size: inspector.predict(pictures, batch_size=batch_size)


def timed(score: Scorer, pictures: Pictures, batch_size: int) -> float:
    """Measure the seconds until all results are there."""
    began = time.perf_counter()
    results = list(score(pictures, batch_size))
    seconds = time.perf_counter() - began
    broken = [result.error for result in results if not result.ok]
    if broken or len(results) != len(pictures):
        raise SystemExit(f"{len(broken)} of {len(pictures)} pictures were not scored: {broken[:1]}")
    return seconds


if __name__ == "__main__":
    main()
