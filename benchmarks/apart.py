"""Jobs of a benchmark. Each runs in its own process, and its rows are saved at once."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from answers import print_rows, rows_in
from machine import append, read
from understudy.lab.spread import threads_each

__all__ = [
    "SIX",
    "add_missing",
    "add_workers",
    "compare",
    "parser_of",
    "print_rows",
    "refuse_failed",
    "run_all_missing",
    "run_missing",
]

Row = dict[str, Any]

_ONE_WRITER = threading.Lock()  # of a file of results

SIX = "ballscrew,hazelnut,cookie,alien,magnetic_tile,pcb"
"""Six real products, separated by commas. Three of them are hard."""


def run_missing(
    script: str,
    data: Path | None,
    out: Path,
    job: Row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
    threads: int | None = None,
) -> None:
    """Run ``script --run JOB`` in its own process and append the rows that it prints to ``out``.

    A job whose rows exist is not repeated. A job that takes longer than ``limit_s`` seconds is stopped, and
    the rows ``late`` are appended for it. ``threads`` is the number of threads that it computes with; by
    default, one a core.
    """
    command = [sys.executable, script, "--out", str(out), "--run", json.dumps(job)]
    command += ["--data", str(data)] if data else []
    add_missing(out, job, command, limit_s=limit_s, late=late, threads=threads)


def run_all_missing(
    script: str, data: Path | None, out: Path, jobs: Sequence[Row], workers: int = 1
) -> list[Row]:
    """Do :func:`run_missing` for many jobs, in turn or several at a time; return the jobs that failed.

    Several at a time share the cores: each has as many threads as all cores divided by their number, and its
    rows are those of a run with so many threads. No job waits for another one to be right.
    """

    def work(job: Row) -> bool:
        try:
            run_missing(script, data, out, job, threads=threads)
        except subprocess.CalledProcessError:  # it has said why
            return False
        return True

    threads = threads_each(workers) if workers > 1 else None
    with ThreadPoolExecutor(workers) as pool:
        return [job for job, done in zip(jobs, pool.map(work, jobs), strict=True) if not done]


def add_missing(
    out: Path,
    job: Row,
    command: Sequence[str],
    complete: Callable[[Row], Row] = lambda row: row,
    limit_s: float | None = None,
    late: Sequence[Row] = (),
    threads: int | None = None,
) -> None:
    """Run a command, complete each row that it prints, and append it to ``out``. Skip a finished job."""
    with _ONE_WRITER:
        known = read(out)
    if any(all(row[k] == str(v) for k, v in job.items()) for row in known):
        return
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    try:
        ended = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit_s, env=environment
        )
        rows = [complete(row) for row in rows_in(ended.stdout)]
    except subprocess.TimeoutExpired:
        rows = list(late)
    with _ONE_WRITER:
        append(out, rows)
    for row in rows:
        print({k: v for k, v in row.items() if k in job or isinstance(v, float)}, flush=True)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Let a script that calls :func:`run_all_missing` be asked for several jobs at a time."""
    parser.add_argument("--workers", type=int, default=1, help="jobs at a time, which share the cores")


def refuse_failed(jobs: Sequence[Row]) -> None:
    """End the script if a job failed."""
    if jobs:
        raise SystemExit(f"failed: {'; '.join(', '.join(map(str, job.values())) for job in jobs)}")


def parser_of(
    about: str | None, *, categories: str | None = None, seeds: str = "0,1,2"
) -> argparse.ArgumentParser:
    """Make the parser of a script that trains on real pictures, seed by seed. ``--run`` is for its own jobs.

    Args:
        about: the script's docstring.
        categories: default products to learn from, separated by commas; ``None`` for no such option.
        seeds: default seeds, separated by commas.
    """
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    if categories is not None:
        parser.add_argument("--categories", default=categories)
    parser.add_argument("--seeds", default=seeds)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    return parser


def compare(
    script: str,
    about: str | None,
    option: str,
    values: Sequence[str],
    run: Callable[..., list[Row]],
    show: Callable[[list[dict[str, str]]], str],
    *,
    method: str,
    categories: str = "ballscrew,hazelnut,cookie",
    seeds: str = "0,1,2",
    steps: int = 1500,
) -> None:
    """Train with each value of an option, seed by seed, where rows are missing, and print the table.

    Args:
        script: file of the script whose command line this is.
        about: its docstring.
        option: name of the option that is compared; a column of the results.
        values: its values.
        run: (data, method, the option, seed, steps, batch_size, trained_on) -> rows of one training.
        show: rows of the results -> table.
        method: default method.
        categories: default products to learn from, separated by commas.
        seeds: default seeds, separated by commas.
        steps: default length of a training.
    """
    parser = parser_of(about, categories=categories, seeds=seeds)
    parser.add_argument("--method", default=method)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--batch-size", type=int, default=8)
    add_workers(parser)
    asked = parser.parse_args()
    if asked.run:
        print_rows(run(asked.data, **json.loads(asked.run)))
        return
    jobs = [
        {
            "method": asked.method,
            option: value,
            "seed": seed,
            "steps": asked.steps,
            "batch_size": asked.batch_size,
            "trained_on": asked.categories.replace(",", " "),
        }
        for seed in map(int, asked.seeds.split(","))
        for value in values
    ]
    failed = run_all_missing(script, asked.data, asked.out, jobs, asked.workers)
    print(show(read(asked.out)))
    refuse_failed(failed)
